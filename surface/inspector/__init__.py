"""The inspector: a page on the ops port that shows what lives, and changes nothing.

Its parts: who may look (`guard`), what is found (`find`), what there is (`look`) and what is told of it
(`view`), how that stays true while one looks (`live`), where it is asked for (`routes`), and the page itself
(`static/`: plain files, as they are served). Two rules. What people say is in no answer, not even in a field
that the page would not show. And nothing here costs more per decision the more rooms there are.
"""
