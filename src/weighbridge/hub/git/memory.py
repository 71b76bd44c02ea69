"""Objects that are not stored yet: a reader over what was just made, in front of what is there."""

from collections.abc import Mapping, Sequence

from weighbridge.hub.git.objects import GitObject, MissingObjectError, ObjectKind, oid_of
from weighbridge.hub.git.tree import ObjectReader


class InMemoryObjects:
    """An `ObjectReader` over objects in memory; what is not among them comes from `behind`, if there is one."""

    def __init__(self, objects: Mapping[str, GitObject] | None = None, *, behind: ObjectReader | None = None) -> None:
        self.objects: dict[str, GitObject] = dict(objects or {})
        self._behind = behind

    def add(self, kind: ObjectKind, data: bytes) -> str:
        """Keep an object and return its oid."""
        oid = oid_of(kind, data)
        self.objects[oid] = GitObject(kind, data)
        return oid

    def read(self, oid: str) -> GitObject:
        if oid in self.objects:
            return self.objects[oid]
        if self._behind is None:
            raise MissingObjectError("this object is not there", place=oid)
        return self._behind.read(oid)

    def read_many(self, oids: Sequence[str]) -> Mapping[str, GitObject]:
        found = {oid: self.objects[oid] for oid in oids if oid in self.objects}
        lacking = [oid for oid in oids if oid not in found]
        if lacking and self._behind is None:
            raise MissingObjectError("this object is not there", place=lacking[0])
        if lacking and self._behind is not None:
            found.update(self._behind.read_many(lacking))
        return found
