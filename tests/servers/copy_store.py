"""Copying a metadata store into another, whatever the two are kept in."""

from __future__ import annotations

from typing import Any

from ml_metadata.proto import metadata_store_pb2


def copy_store(source: Any, target: Any) -> None:
    """Copies all that ml_metadata's API shows of a store into an empty one. Ids and times are new."""
    types = {}
    for noun in ("artifact", "execution", "context"):
        for kind in getattr(source, f"get_{noun}_types")():
            types[noun, kind.id] = _put_type(target, noun, kind)
    ids = {
        noun: _put(target, noun, getattr(source, f"get_{noun}s")(), types)
        for noun in ("artifact", "execution", "context")
    }
    executions = sorted(ids["execution"])
    events = []
    for event in source.get_events_by_execution_ids(executions):
        copy = metadata_store_pb2.Event()
        copy.CopyFrom(event)
        copy.artifact_id = ids["artifact"][event.artifact_id]
        copy.execution_id = ids["execution"][event.execution_id]
        events.append(copy)
    target.put_events(events)
    attributions, associations, parents = [], [], []
    for context, copied in ids["context"].items():
        for artifact in source.get_artifacts_by_context(context):
            attributions.append(
                metadata_store_pb2.Attribution(artifact_id=ids["artifact"][artifact.id], context_id=copied)
            )
        for execution in source.get_executions_by_context(context):
            associations.append(
                metadata_store_pb2.Association(
                    execution_id=ids["execution"][execution.id], context_id=copied
                )
            )
        for parent in source.get_parent_contexts_by_context(context):
            parents.append(
                metadata_store_pb2.ParentContext(child_id=copied, parent_id=ids["context"][parent.id])
            )
    target.put_attributions_and_associations(attributions, associations)
    if parents:
        target.put_parent_contexts(parents)


def _put_type(target: Any, noun: str, kind: Any) -> int:
    copy = type(kind)()
    copy.CopyFrom(kind)
    copy.ClearField("id")
    return getattr(target, f"put_{noun}_type")(copy, can_add_fields=True, can_omit_fields=True)


def _put(target: Any, noun: str, nodes: list[Any], types: dict[tuple[str, int], int]) -> dict[int, int]:
    """Copies nodes in the order of their ids; returns old id → new id."""
    copies = []
    nodes = sorted(nodes, key=lambda node: node.id)
    for node in nodes:
        copy = type(node)()
        copy.CopyFrom(node)
        for name in ("id", "create_time_since_epoch", "last_update_time_since_epoch", "type"):
            copy.ClearField(name)
        copy.type_id = types[noun, node.type_id]
        copies.append(copy)
    made = getattr(target, f"put_{noun}s")(copies)
    return dict(zip((node.id for node in nodes), made, strict=True))
