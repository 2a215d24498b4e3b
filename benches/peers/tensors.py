"""Reads and writes safetensors files: 8 bytes of length, a JSON header, data. Supports only what this benchmark needs."""

import json
import struct

import numpy


def write_bf16(file, name, values):
    """Writes a file with one f32 matrix, rounded to bf16."""
    bits = to_bf16(values)
    header = {name: {"dtype": "BF16", "shape": list(bits.shape), "data_offsets": [0, bits.nbytes]}}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(file, "wb") as out:
        out.write(struct.pack("<Q", len(text)))
        out.write(text)
        bits.astype("<u2", copy=False).tofile(out)


def to_bf16(values):
    """Rounds finite f32 numbers to bf16 (to nearest, ties to even), and returns the bits."""
    bits = numpy.ascontiguousarray(values, dtype="float32").view("uint32")
    odd = (bits >> 16) & 1
    return ((bits + 0x7FFF + odd) >> 16).astype("uint16")


def from_bf16(bits):
    """Converts the bits of bf16 numbers to f32."""
    return (bits.astype("uint32") << 16).view("float32")


def read(file, names):
    """Reads the tensors with these names as f32 matrices. Their dtypes must be F32, F16 or BF16."""
    with open(file, "rb") as source:
        (length,) = struct.unpack("<Q", source.read(8))
        header = json.loads(source.read(length))
        return {name: read_tensor(source, 8 + length, header[name]) for name in names}


def read_tensor(source, data, entry):
    """Reads one tensor. `data` is the offset of the data in the file."""
    begin, end = entry["data_offsets"]
    source.seek(data + begin)
    raw = source.read(end - begin)
    if entry["dtype"] == "BF16":
        values = from_bf16(numpy.frombuffer(raw, "<u2"))
    else:
        values = numpy.frombuffer(raw, {"F32": "<f4", "F16": "<f2"}[entry["dtype"]]).astype("float32")
    return values.reshape(entry["shape"])
