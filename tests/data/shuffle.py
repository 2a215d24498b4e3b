"""Prints the permutation of src/matrices/elements/shuffled.rs, implemented independently from its definition.

It is a Fisher-Yates shuffle with Lemire's bounded numbers. The generator is ChaCha with 8 rounds (Bernstein, 2008), keyed by
SHA-256 of the seed and the tensor's name.

    python3 tests/data/shuffle.py COUNT SEED NAME
"""
import hashlib
import itertools
import struct
import sys

LOW = 0xFFFFFFFF
COLUMNS = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)]
DIAGONALS = [(0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]


def quarter_round(x, a, b, c, d):
    for target, source, turned, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        x[target] = x[target] + x[source] & LOW
        word = x[turned] ^ x[target]
        x[turned] = (word << bits | word >> 32 - bits) & LOW


def words(key):
    for counter in itertools.count():
        start = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key), counter & LOW, counter >> 32, 0, 0]
        x = list(start)
        for _ in range(4):
            for quarter in COLUMNS + DIAGONALS:
                quarter_round(x, *quarter)
        yield from (a + b & LOW for a, b in zip(x, start))


def shuffled(count, seed, name):
    stream = words(hashlib.sha256(struct.pack("<Q", seed) + name.encode()).digest())
    elements = list(range(count))
    for last in range(count - 1, 0, -1):
        while True:
            product = (next(stream) | next(stream) << 32) * (last + 1)
            if product % 2**64 >= 2**64 % (last + 1):
                break
        other = product >> 64
        elements[last], elements[other] = elements[other], elements[last]
    return elements


print(shuffled(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
