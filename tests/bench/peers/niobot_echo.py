"""An echo bot as nio-bot's documentation shows it. Runs in that library's environment.

niobot_echo.py URL USER_ID PASSWORD
"""

import sys

import niobot

url, user_id, password = sys.argv[1:]
bot = niobot.NioBot(url, user_id, store_path="store", command_prefix="!")


@bot.on_event("ready")
async def on_ready(_):
    print("ready", flush=True)


@bot.on_event("message")
async def on_message(room, message):
    if message.sender != bot.user_id:
        await bot.send_message(room, message.body, message_type="m.text")


bot.run(password=password)
