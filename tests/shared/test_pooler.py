from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from servers import pooler
from shared_place import dialogue, interleaved

if TYPE_CHECKING:
    from shared_place import Place


@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="PgBouncer is not on this machine")
def test_a_pooler_may_give_each_transaction_another_connection(place: Place) -> None:
    spans = interleaved([dialogue(f"dialogue {number}", 4) for number in range(20)])
    with pooler(place.database) as url:
        machines = [place.machine(f"spool-{number}", catalog=url) for number in range(3)]
        for number, span in enumerate(spans):
            machines[number % 3].write(span)
            machines[number % 3].deliver()
        place.make_documents()
        assert place.documents() == place.written_by_one_machine(*spans)
