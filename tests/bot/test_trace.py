"""What an `/as` stores, in which transactions."""

from benchmarks.trace_as import trace_command


async def test_an_attempt_is_stored_before_each_message_and_its_line_in_one_transaction(tmp_path):
    trace = await trace_command(tmp_path)

    inbox = [one for one in trace.transactions if one not in trace.own]
    assert inbox == [
        ["INSERT INTO inbox"],
        ["UPDATE inbox", "INSERT INTO messages"],
        ["UPDATE inbox"],
        ["UPDATE inbox"],
    ]
    assert trace.own == [
        ["INSERT INTO replies", "DELETE FROM sends"],
        ["INSERT INTO sends"],
        ["UPDATE sends"],
        [
            "INSERT INTO messages",
            "INSERT INTO lines",
            "INSERT INTO sources",
            "UPDATE replies",
            "DELETE FROM sends",
        ],
    ]
