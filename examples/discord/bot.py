"""A discord.py bot that prints what it hears from the gateway on this machine, and returns greetings."""

import sys

import discord
import yarl

discord.http.Route.BASE = "http://127.0.0.1:7106/api/v10"
discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL("ws://127.0.0.1:7106")

bot = discord.Client(intents=discord.Intents.all())


@bot.event
async def on_socket_event_type(name):  # every event, READY and RESUMED too
    print(name)


@bot.event
async def on_message(message):
    print(f"    #{message.channel} {message.author.display_name}: {message.content}")
    if message.author != bot.user and message.content.startswith("hello"):
        await message.channel.send(f"hello, {message.author.display_name}")


bot.run(sys.argv[1] if len(sys.argv) > 1 else "MTAw.for-development")
