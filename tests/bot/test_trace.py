"""The path of an `/as` stays short."""

from benchmarks.trace_as import trace_command


async def test_a_command_is_answered_with_two_write_transactions(tmp_path):
    trace = await trace_command(tmp_path)

    stored, sent = trace.own
    inbox = [one for one in trace.transactions if one not in trace.own]
    assert stored == ["INSERT INTO replies"]
    assert sent[0] == "INSERT INTO messages"
    assert inbox == [
        ["INSERT INTO inbox"],
        ["UPDATE inbox", "INSERT INTO messages"],
        ["UPDATE inbox"],
    ]
