"""Reads pieces of 16-bit mono audio at 8 kHz from stdin, each after its number of samples (4 bytes), and prints a line
for each: 1 or 0 for every 10 ms, as WebRTC's voice activity detector in mode 2 says."""

import struct
import sys

import webrtcvad

while head := sys.stdin.buffer.read(4):
    audio = sys.stdin.buffer.read(2 * struct.unpack("<I", head)[0])
    vad = webrtcvad.Vad(2)
    print("".join("01"[vad.is_speech(audio[at : at + 160], 8000)] for at in range(0, len(audio) - 159, 160)))
