"""An echo bot as simplematrixbotlib's documentation shows it. Runs in that library's environment.

simplematrixbotlib_echo.py URL USER_ID PASSWORD
"""

import sys

import simplematrixbotlib as botlib

url, user_id, password = sys.argv[1:]
bot = botlib.Bot(botlib.Creds(url, user_id, password))


@bot.listener.on_message_event
async def echo(room, message):
    match = botlib.MessageMatch(room, message, bot)
    if match.is_not_from_this_bot():
        await bot.api.send_text_message(room.room_id, message.body)


bot.run()
