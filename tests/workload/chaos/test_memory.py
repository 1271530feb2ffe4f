"""Memory that grows is told from memory that does not."""

from workload.chaos.memory import Memory, as_table
from workload.chaos.processes import Processes


def test_a_row_a_kind():
    memory = Memory(Processes())
    memory.taken = {
        "router": [(second, 100.0) for second in range(0, 120, 2)],
        "leak": [(second, 100.0 + second / 2) for second in range(0, 120, 2)],
    }
    table = as_table(memory.rows())
    assert "| router | 100 | 100 | 100 | +0.0 |" in table.replace("-0.0", "+0.0")
    assert "| leak | 100 | 159 | 159 | +30.0 |" in table
