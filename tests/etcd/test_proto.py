"""What scripts/protoc made is what rpc.proto says."""

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


def said() -> Iterator[str]:
    """Each field and value of the text, with where it is."""
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


def made(messages: list[DescriptorProto], above: str = "") -> Iterator[str]:
    """The same of what was made."""
    for message in messages:
        path = above + message.name
        for enum in message.enum_type:
            for value in enum.value:
                yield f"{path}.{enum.name} {value.name} = {value.number}"
        for field in message.field:
            repeated = "repeated " if field.label == FieldDescriptor.LABEL_REPEATED else ""
            kind = field.type_name.rpartition(".")[2] or TYPES[field.type]
            yield f"{path} {repeated}{kind} {field.name} = {field.number}"
        yield from made(list(message.nested_type), path + ".")


def test_it_is_what_the_text_says() -> None:
    descriptor: FileDescriptor = rpc_pb2.DESCRIPTOR
    file = FileDescriptorProto()
    descriptor.CopyToProto(file)
    assert file.package == "musterd.etcd"
    assert sorted(said()) == sorted(made(list(file.message_type)))
    stubs = Path(rpc_pb2.__file__).with_suffix(".pyi").read_text()
    assert {f"class {message.name}(" for message in file.message_type} == {
        *re.findall(r"^class \w+\(", stubs, re.MULTILINE)
    }
