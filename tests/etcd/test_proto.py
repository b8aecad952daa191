"""The modules that scripts/protoc generated match rpc.proto."""

import re
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor import FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

from musterd.etcd import rpc_pb2

PROTO = Path(rpc_pb2.__file__).with_name("rpc.proto")
TYPES = {
    getattr(FieldDescriptor, name): name.removeprefix("TYPE_").lower()
    for name in dir(FieldDescriptor)
    if name.startswith("TYPE_")
}
_BLOCK = re.compile(r"(message|enum|oneof) (\w+) \{")
_FIELD = re.compile(r"(repeated )?([\w.]+) (\w+) = (\d+);")
_VALUE = re.compile(r"(\w+) = (\d+);")


def declared() -> Iterator[str]:
    """Yield each field and enum value of rpc.proto with its path."""
    where: list[tuple[str, str]] = []
    for line in PROTO.read_text().splitlines():
        text = line.strip()
        if found := _BLOCK.match(text):
            where.append((found[1], found[2]))
            text = text[found.end() :].strip()
        if text == "}":
            where.pop()
            continue
        path = ".".join(name for kind, name in where if kind != "oneof")
        if where and where[-1][0] == "enum" and (found := _VALUE.fullmatch(text)):
            yield f"{path} {found[1]} = {found[2]}"
        elif found := _FIELD.fullmatch(text):
            yield f"{path} {found[1] or ''}{found[2]} {found[3]} = {found[4]}"


def generated(messages: list[DescriptorProto], above: str = "") -> Iterator[str]:
    """Yield each field and enum value of the generated descriptor with its path."""
    for message in messages:
        path = above + message.name
        for enum in message.enum_type:
            for value in enum.value:
                yield f"{path}.{enum.name} {value.name} = {value.number}"
        for field in message.field:
            repeated = "repeated " if field.label == FieldDescriptor.LABEL_REPEATED else ""
            kind = field.type_name.rpartition(".")[2] or TYPES[field.type]
            yield f"{path} {repeated}{kind} {field.name} = {field.number}"
        yield from generated(list(message.nested_type), path + ".")


def test_generated_modules_match_proto() -> None:
    descriptor: FileDescriptor = rpc_pb2.DESCRIPTOR
    file = FileDescriptorProto()
    descriptor.CopyToProto(file)
    assert file.package == "musterd.etcd"
    assert sorted(declared()) == sorted(generated(list(file.message_type)))
    stubs = Path(rpc_pb2.__file__).with_suffix(".pyi").read_text()
    assert {f"class {message.name}(" for message in file.message_type} == {
        *re.findall(r"^class \w+\(", stubs, re.MULTILINE)
    }
