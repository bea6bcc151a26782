"""Odd sound files of one speech sample, and what a server and ffmpeg read in them."""
