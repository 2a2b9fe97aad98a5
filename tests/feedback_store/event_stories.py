"""Any events at all, for properties that hold of all of them."""

from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from store_material import event

from feedback_store.schemas import Event, EventKind

TEXT = "total = sum(values)"  # 19 characters

FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "text": st.sampled_from(["", "a", TEXT, TEXT[:9], "other()\n"]),
    "visible_ms": st.none() | st.integers(0, 2000),
    "accepted_length": st.integers(0, 25),
    "after_seconds": st.sampled_from([30, 120, 600]),
    "edit_distance": st.just(0.5),
    "retained_characters": st.integers(0, 25),
    "reaches_suffix": st.booleans(),
    "prefix_intact": st.booleans(),
    "reason": st.sampled_from(["closed", "superseded", "popup"]),
    "rating": st.sampled_from(["up", "down"]),
    "unit": st.just("word"),
}


def stories(completion_id: UUID) -> st.SearchStrategy[list[Event]]:
    """Return any twelve events, told in any sense or none."""
    return st.lists(
        st.builds(
            lambda kind, ordinal, after_s, index, source, data: event(
                completion_id,
                kind,
                after_s,
                ordinal=ordinal,
                candidate_index=index,
                source=source,
                **data,
            ),
            st.sampled_from([kind.value for kind in EventKind]),
            st.integers(0, 2),
            st.integers(0, 5),
            st.integers(0, 1),
            st.sampled_from(["inferred", "explicit"]),
            st.fixed_dictionaries(FIELDS),
        ),
        unique_by=lambda one: one.event_id,
        max_size=12,
    )
