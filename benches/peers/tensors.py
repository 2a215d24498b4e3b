"""Reads and writes safetensors files: 8 bytes of length, a JSON header, data. Just what this benchmark needs of it."""

import json
import struct

import numpy


def write_bf16(file, name, values):
    """Writes a file that holds one f32 matrix, rounded to bf16."""
    bits = to_bf16(values)
    header = {name: {"dtype": "BF16", "shape": list(bits.shape), "data_offsets": [0, bits.nbytes]}}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(file, "wb") as out:
        out.write(struct.pack("<Q", len(text)))
        out.write(text)
        bits.astype("<u2", copy=False).tofile(out)


def to_bf16(values):
    """The upper 16 bits of finite f32 numbers, rounded to nearest, ties to even."""
    bits = numpy.ascontiguousarray(values, dtype="float32").view("uint32")
    odd = (bits >> 16) & 1
    return ((bits + 0x7FFF + odd) >> 16).astype("uint16")


def from_bf16(bits):
    """The f32 numbers of these bits."""
    return (bits.astype("uint32") << 16).view("float32")


def read(file, names):
    """The tensors of these names as f32 matrices. They may be F32, F16 or BF16."""
    with open(file, "rb") as source:
        (length,) = struct.unpack("<Q", source.read(8))
        header = json.loads(source.read(length))
        return {name: read_tensor(source, 8 + length, header[name]) for name in names}


def read_tensor(source, data, entry):
    """One tensor; `data` is where the data of the file begin."""
    begin, end = entry["data_offsets"]
    source.seek(data + begin)
    raw = source.read(end - begin)
    if entry["dtype"] == "BF16":
        values = from_bf16(numpy.frombuffer(raw, "<u2"))
    else:
        values = numpy.frombuffer(raw, {"F32": "<f4", "F16": "<f2"}[entry["dtype"]]).astype("float32")
    return values.reshape(entry["shape"])
