"""Odd sound files of one speech sample, and how a server and ffmpeg decode them."""
