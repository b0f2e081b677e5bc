"""One archive of what an installation must not lose: taken beside the running bot, restored elsewhere.

`contents` says what belongs into it, `archive` how it lies in a file and when that file is refused, `seal`
how it is encrypted; `take` and `restore` are the two commands.
"""
