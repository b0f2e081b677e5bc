# Everything the surface itself says, in English. One entry a text; Markdown is allowed.

## Rooms and Spaces
space-name = Lambda — { $name }
chat-name = Chat { $n }
room-topic = Agent: { $agent }. Say !help to see what can be done here.
room-topic-plain = Say !help to see what can be done here.

## Meeting
welcome =
    Welcome! I have made you a private Space with a first chat room:

    - your Space: { $space }
    - your first chat: { $room }

    Accept the invitations, then just talk in the chat. Here, in this room, I take commands: say `!help`.
home-guidance = This room is for commands only: say `!help`. To talk, go to one of your chats: { $chats }
home-again = Here you can give commands too: say `!help`. Your chats: { $chats }
still-provisioning = Your Space is being made, one moment please.
onboarding-failed = I could not make your Space: { $reason }. Write anything here and I shall try again.
come-back = I have invited you to your Space again.

## Agents
agents-choose =
    Which agent shall answer? Reply with a number, or say `!agent ID`.

    { $list }
agent-line = { $n }. **{ $name }** (`{ $id }`){ $description }
agent-current =
    In this room: **{ $name }** (`{ $id }`). For new chats: { $selected }.

    { $list }

    To change it here and for new chats: `!agent ID` or `!agent NUMBER`.
agent-current-home =
    For new chats: { $selected }.

    { $list }

    To change it: `!agent ID` or `!agent NUMBER`.
agent-none = nobody yet
agent-selected = **{ $name }** (`{ $id }`) answers here from now on, in a fresh context, and in new chats. Other rooms keep theirs.
agent-selected-same = **{ $name }** (`{ $id }`) answers here already; new chats get it too.
agent-selected-home = **{ $name }** (`{ $id }`) will answer in new chats. Other rooms keep theirs.
agent-unknown = There is no agent `{ $id }`. There are: { $known }.

## Chats
chat-created = Made { $room }
create-failed = I could not make **{ $name }**: { $reason }
chats-none = You have no chats. `!new` makes one.
chats-list =
    Your chats:

    { $list }
chat-line = - **{ $chat }** { $room } · { $agent }
chat-line-archived = - **{ $chat }** { $name } · archived, `!restore { $chat }` brings it back
chat-line-unbound = - **{ $chat }** { $room } · no agent
renamed = { $chat } is now called **{ $name }**.
archived = Archived. The room is out of your Space; `!restore { $chat }` in any of your rooms brings it back.
restored = { $chat } is back: { $room }
restore-which =
    Which chat? Say `!restore C1`, for instance. Archived are: { $chats }
restore-none = No chat is archived.
restore-unknown = There is no archived chat `{ $chat }`. Archived are: { $chats }
room-archived-hint = This chat is archived and nobody answers here. `!restore { $chat }` brings it back.
none = none

## Context
cleared = Cleared: from here on the agent knows nothing of what was said before. New context `{ $context }`. `!undo` goes back to context `{ $old }`, as long as nothing is said in the new one.
already-clear = The context `{ $context }` is fresh already: nothing was said in it.
undone = Undone: back in context `{ $context }`.
undo-nothing = There is nothing to undo: something was said since, or nothing was cleared.
context =
    - agent: **{ $agent }**
    - context: `{ $context }`
    - { $turns ->
        [0] nothing was said in it yet
        [one] { $turns } message in it so far
       *[other] { $turns } messages in it so far
    }
context-unknown =
    - agent: **{ $agent }**
    - context: `{ $context }`
    - how much was said in it is not known: { $reason }

## Answers that failed
turn-failed = The agent could not answer: { $reason }.{ $again ->
    [0] {""}
   *[other] {" "}`!retry` asks again.
}
turn-failed-for-good = The agent could not answer: { $reason }.
turn-unreachable = The agent cannot be reached at the moment.{ $again ->
    [0] {""}
   *[other] {" "}`!retry` asks again.
}
turn-broken-off = The connection to the agent broke off.{ $again ->
    [0] {""}
   *[other] {" "}`!retry` asks again.
}
turn-timeout = The agent took too long to answer.{ $again ->
    [0] {""}
   *[other] {" "}`!retry` asks again.
}
turn-busy = The agent has too much to do at the moment.{ $again ->
    [0] {""}
   *[other] {" "}`!retry` asks again.
}
turn-too-long = The answer grew too long and was cut off here.
turn-unauthorized = The agent does not accept this bot. Only its operator can mend that.
turn-garbled = What the agent answers cannot be understood. Only its operator can mend that.
turn-not-installed = The agent cannot be reached from here. Only its operator can mend that.
turn-agent-gone = The agent `{ $id }` is not available any more. Say anything to choose another one.
turn-stopped = Stopped.
turn-crashed = The agent broke off: { $reason }.{ $again ->
    [0] {""}
   *[other] {" "}`!retry` asks again.
}
turn-interrupted = The answer was cut off by a restart, and asking this agent again may do its work twice.{ $again ->
    [0] {""}
   *[other] {" "}`!retry` asks again all the same.
}
answer-as-file = The answer is too long for the room; here it is as a file.

## Why a call failed, in the gap of another text
reason-asked-no-more = the agent does not wait for it any more
reason-broken-off = the connection to the agent broke off
reason-busy = the agent has too much to do
reason-garbled = what the agent answers cannot be understood
reason-gone = the agent is not available any more
reason-not-installed = the agent cannot be reached from here
reason-save-missing = there is no such save any more
reason-timeout = the agent took too long
reason-unauthorized = the agent does not accept this bot
reason-unreachable = the agent cannot be reached
reason-unsupported = the agent cannot do that

## Commands
help-head =
    What you can do here:

    { $list }
help-line = - `{ $usage }`: { $summary }
help-one =
    `{ $usage }`

    { $summary }
help-talk = Anything that is not a command goes to the agent.
command-unknown = I don't know `!{ $name }`. `!help` lists what there is.
command-unknown-near = I don't know `!{ $name }`. Did you mean `!{ $near }`?
command-not-here = `!{ $name }` does nothing here: { $why }
command-needs-name = Say which name: `!rename NAME`
command-no-arguments = `!{ $name }` takes nothing after it.
name-too-long = That name is too long: { $max } characters at most.
name-bad = That name has characters I cannot use.
why-home = this is not a chat room.
why-archived = this chat is archived; `!restore { $chat }` brings it back.
why-unbound = no agent is chosen yet; say `!agent`.
why-lost = I was removed from this room, so it is no chat any more. Invite me again to use it.
why-no-space = you have no Space yet; write anything here to get one.
choice-out-of-range = There is no { $number } in the list; from 1 to { $last }.
choice-stale = That list is not open any more. `!agent` or `!load` shows one again.

## Files
location-unsupported = I cannot take locations, only text and files.
file-not-here = I have not taken **{ $name }**: no agent answers in this room. Send it where one does.
files-not-taken = **{ $agent }** takes no files, only text.
file-unreadable = I cannot take **{ $name }**: the message does not say where the file is, or not in a way I understand.
file-too-large = **{ $name }** is too large: { $most } MB at most.
file-over-quota = I cannot take **{ $name }**: all your files together may have { $most } MB. Older ones go by themselves in time.
file-gone = I cannot take **{ $name }**: the homeserver does not have it.
file-damaged = I cannot take **{ $name }**: it is not what was sent. Please send it again.
file-disk-full = I cannot take **{ $name }**: there is no space left where I keep files. Text works as before.
file-unwritable = I cannot take **{ $name }**: I may not write where files are kept. Only my operator can mend that; text works as before.
tray-full = I cannot take **{ $name }**: { $most } files wait for your message already, and more cannot. Say what they are for, or `!drop` them.
tray-expired = { $n ->
    [one] No message came, so I put { $files } aside. Send it again when you need it.
   *[other] No message came, so I put { $n } files aside ({ $files }). Send them again when you need them.
}
dropped = { $n ->
    [one] Dropped one file.
   *[other] Dropped { $n } files.
}
drop-nothing = No file is waiting for a message.
files-out-refused = The agent sent { $n } files that I cannot show: they cannot be read, are not where I may read, or the homeserver does not take them. Among them: **{ $files }**
file-out-missing = The agent sent the file **{ $name }**, but it cannot be read.
file-out-forbidden = The agent sent the file **{ $name }**, but it is not where I may read.
file-out-too-large = The agent sent the file **{ $name }**, but the homeserver takes { $most } MB at most.
file-out-refused = The agent sent the file **{ $name }**, but the homeserver does not take it: { $reason }

## How commands are written
usage-help = !help [COMMAND]
usage-new = !new [NAME]
usage-rename = !rename NAME
usage-agent = !agent [ID or NUMBER]
usage-save = !save [NAME]
usage-load = !load [NAME or NUMBER]
usage-restore = !restore CHAT
usage-lang = !lang LANGUAGE

## Command summaries
cmd-help = says what can be done here; `!help COMMAND` says more of one
cmd-new = makes one more chat room
cmd-chats = lists your chats, with links
cmd-rename = renames this chat
cmd-agent = shows the agents, or chooses one for this room and for new chats
cmd-clear = starts a fresh context in this room; the agent forgets what was said
cmd-undo = goes back to the context before `!clear`
cmd-context = shows agent, context and how much was said in it
cmd-archive = takes this chat out of your Space
cmd-restore = brings an archived chat back
cmd-save = saves this context under a name, to be loaded into any chat with this agent
cmd-load = lists the saves of this agent, or loads one into a fresh context
cmd-stop = ends the answer that is being written (or react with 🛑)
cmd-drop = forgets the files that wait for your next message
cmd-retry = asks once more what could not be answered
cmd-yes = confirms what was asked (or tap ✅)
cmd-no = declines what was asked (or tap ❌)
cmd-lang = sets the language I speak with you: en, ru
cmd-why = says in which state this room is, how it got there and what is possible
cmd-forget = deletes what is kept about you, and makes me leave your rooms

## Saves
saved = Saved as **{ $name }**. `!load` brings it into any chat with this agent.
save-failed = **{ $name }** could not be saved: { $reason }
saves-none = There are no saves of this agent yet. `!save NAME` makes one.
saves-unknown = The saves cannot be listed now: { $reason }
saves-choose =
    Which save shall be loaded? Reply with a number, tap one, or say `!load NAME`.

    { $list }
save-line = { $n }. **{ $name }** · { $turns ->
    [one] { $turns } message
   *[other] { $turns } messages
} · { $age }
save-unknown = There is no save called **{ $name }**. There are: { $known }.
age-unknown = age unknown
age-minutes = { $n ->
    [0] just now
    [one] { $n } minute ago
   *[other] { $n } minutes ago
}
age-hours = { $n ->
    [one] { $n } hour ago
   *[other] { $n } hours ago
}
age-days = { $n ->
    [one] { $n } day ago
   *[other] { $n } days ago
}
loaded = Loaded **{ $name }** into the new context `{ $context }`. `!undo` goes back, as long as nothing is said in it.
load-failed = **{ $name }** could not be loaded: { $reason }. The context is as it was.
load-failed-stays = **{ $name }** could not be loaded: { $reason }. This room is in the new context `{ $context }` now, which began empty.
load-failed-elsewhere = **{ $name }** could not be loaded: { $reason }.

## Questions
archive-question = Archive **{ $name }**? It leaves your Space, and `!restore` brings it back. `!yes` or `!no`.
forget-question =
    Shall I forget you? I delete all I keep about you (your rooms' bindings, your choices, your saves, your files and the agents' memory of your chats) and leave your rooms. The rooms stay yours. What I cannot delete are the messages themselves: they are on the homeserver and in your clients.

    `!yes` or `!no`.
forget-owner-only = Only the owner of this room can say that.
forgotten = Forgotten. I leave your rooms now; invite me again whenever you like.
bind-question = Shall I answer in this room? I did not make it, so I ask you who invited me. `!yes` or `!no`.
space-declined = You have invited me into a Space. Nobody talks in a Space, so I have left it again. Invite me into one of its rooms instead.
bind-done = I answer here from now on, as your chat { $chat }, with **{ $agent }**. With more than one person in the room I answer only when I am mentioned or replied to.
bind-needs-space = Please invite me to a direct chat first: I need to give you a Space before I can answer here.
company-came = Now that somebody else is here, I answer only when I am mentioned or replied to.
agent-question =
    { $prompt }

    `!yes` or `!no`, or tap ✅ or ❌.
answer-not-taken = Your answer did not reach the agent: { $reason }
confirm-declined = All right, nothing was done.
nothing-pending = Nothing is waiting for an answer.
nothing-to-stop = Nothing is running that could be stopped.
nothing-to-retry = Nothing has failed that could be asked again.
dialog-expired = Nobody answered, so this question is closed.
dialog-cancelled = Something else was said, so this question is closed.
dialog-replaced = Another question was asked, so this one is closed.
dialog-over = The agent does not wait for an answer any more, so this question is closed.

## After a pause
unreadable = { $n ->
    [one] I cannot read this message: its key has not reached me. Please send it again.
   *[other] I cannot read your last { $n } messages: their keys have not reached me. Please send them again.
} If I stay silent, have your client begin a new session (in Element: `/discardsession`) and send once more.
missed = While I was away, { $n ->
    [one] { $n } message came that I do not answer any more
   *[other] { $n } messages came that I do not answer any more
}{ $commands ->
    [0] {""}
    [one] ; { $commands } of them is a command, and was not carried out
   *[other] ; { $commands } of them are commands, and were not carried out
}. If it still matters, please say it again.

## Limits
limit-per-minute = That is more than { $most ->
    [one] { $most } message
   *[other] { $most } messages
} within a minute. I do not answer this one; please slow down.
limit-waiting = { $most ->
    [one] { $most } message of yours waits
   *[other] { $most } of your messages wait
} for an answer already. I do not take this one; please wait for some answers.
limit-rooms = You have { $most ->
    [one] { $most } chat
   *[other] { $most } chats
}, and more are not allowed here.

## Language and orientation
lang-which = Say `!lang` and one of: { $known }. Now it is { $now }.
lang-set = I speak English with you from now on.
why =
    This room is `{ $state }`: { $meaning }

    { $steps }

    Possible now: { $possible }
why-step = - { $at } UTC: { $event } ({ $was } → { $now }), { $by }
why-step-you = - { $at } UTC, you: { $event } ({ $was } → { $now }), { $by }
why-so = { $by }; so: { $effects }
why-by-event = after something in Matrix
why-by-reconciler = found when I compared with Matrix
why-by-operator = by my operator
why-by-bot = after something I did
why-no-steps = - nothing has happened to it yet
state-unprovisioned = it means nothing to me.
state-home = here I take commands; nobody answers.
state-unbound = no agent is chosen, so nobody answers.
state-bound = what is said here goes to its agent.
state-cleared = the context is fresh, and the one before can still be brought back.
state-archived = it is out of the Space, and nobody answers.
state-lost = I am not in it any more.
