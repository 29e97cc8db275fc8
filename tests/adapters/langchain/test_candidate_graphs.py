import asyncio
import datetime as dt

import pytest
from candidate_rig import envelope, pool_of

from shadoweval import Limits

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Each way twice, over a process in which production's two turns have been made."""
    import json

    from langchain_core.messages import AIMessage, HumanMessage, messages_to_dict

    path = tmp_path_factory.mktemp("chat") / "history.json"
    past = [HumanMessage("hello"), AIMessage("1 messages"), HumanMessage("and now?"), AIMessage("3 messages")]
    path.write_text(json.dumps(messages_to_dict(past)))
    later = NOW + dt.timedelta(days=1)
    given = {
        "converses": asked("third", later, "converses", "third"),
        "in_a_loop": asked("third", later, "in_a_loop", "third"),
        "earlier": asked("third", NOW - dt.timedelta(days=1), "converses", "third"),
        "chats": asked("and now?", later, "chats", str(path), "and now?"),
    }

    async def run():
        settings = {"limits": Limits(seconds=60), "warm": "remembering_candidates:two_turns"}
        async with pool_of("ways", module="remembering_candidates", **settings) as pool:
            return {
                name: [(await pool.run(one, arm="new")) for _ in range(2)] for name, one in given.items()
            }, path.read_text()

    found, left = asyncio.run(run())
    assert left == json.dumps(messages_to_dict(past))
    return {name: [o.outcome.answer if o.outcome else o.failure for o in pair] for name, pair in found.items()}


def asked(text, at, *args):
    import msgspec

    one = envelope(text, args=args)
    return msgspec.structs.replace(one, query=msgspec.structs.replace(one.query, asked_at=at))


def test_a_graph_goes_on_from_the_history_and_writes_into_its_copy(runs):
    """Two turns of two messages before; the copy grows over the run, production's saver and store do not."""
    first, second = runs["converses"]

    assert first == "['5 messages, 2 notes', '7 messages, 3 notes'] | 8 then 9 | 6 checkpoints 2 notes"
    assert second == first


def test_async_methods_use_the_copy_too(runs):
    """ainvoke, astream and aget_state see one copy."""
    first, second = runs["in_a_loop"]

    assert first == "5 messages, 2 notes | 1 | 8 | 6 checkpoints 2 notes"
    assert second == first


def test_what_came_after_the_query_is_not_there(runs):
    """A query that was asked before both turns starts from nothing."""
    assert runs["earlier"][0] == "['1 messages, 0 notes', '3 messages, 1 notes'] | 4 then 5 | 6 checkpoints 2 notes"


def test_a_chat_history_ends_before_the_question_and_is_never_written(runs):
    """The incumbent's own turn is cut off; nothing is added, neither for the next turn's file nor for the next run."""
    assert runs["chats"] == ["3 messages 3 messages"] * 2


def test_isolate_graph_leaves_the_graph_as_it_is():
    """By hand: the copy has its own saver and store, seeded as of the time asked for."""
    from langchain_core.messages import HumanMessage
    from remembering_candidates import CONFIG, graph, saver, two_turns

    from shadoweval.adapters.langchain.candidate_graphs import isolate_graph

    two_turns()
    middle = sorted(t.checkpoint["ts"] for t in saver.list(CONFIG))[2]
    before = len(list(saver.list(CONFIG)))
    whole = isolate_graph(graph, "user-1")
    half = isolate_graph(graph, "user-1", as_of=dt.datetime.fromisoformat(middle))

    whole.invoke({"messages": [HumanMessage("third")]}, CONFIG)

    assert graph.checkpointer is saver
    assert len(list(saver.list(CONFIG))) == before
    assert len(whole.get_state(CONFIG).values["messages"]) == 6
    assert len(half.get_state(CONFIG).values["messages"]) == 2


def chat(saver=None, store=None):
    from langgraph.graph import START, MessagesState, StateGraph

    builder = StateGraph(MessagesState)
    builder.add_node("n", lambda state: {"messages": [("ai", f"{len(state['messages'])} before")]})
    builder.add_edge(START, "n")
    return builder.compile(checkpointer=saver, store=store)


def test_a_saver_that_is_sync_only_is_read_in_async_code():
    """SqliteSaver's async methods raise NotImplementedError; the copy is made all the same."""
    from langgraph.checkpoint.memory import InMemorySaver

    from shadoweval.adapters.langchain.candidate_graphs import aisolate_graph

    class SyncOnly(InMemorySaver):
        async def alist(self, config, **options):
            raise NotImplementedError("The SqliteSaver does not support async methods.")
            yield

    graph, config = chat(SyncOnly()), {"configurable": {"thread_id": "t1"}}
    graph.invoke({"messages": [("human", "hello")]}, config)
    copy = asyncio.run(aisolate_graph(graph, "t1", as_of=dt.datetime.now(dt.UTC)))
    assert len(copy.get_state(config).values["messages"]) == 2


@pytest.mark.parametrize("later", [False, True])
def test_naive_times_of_a_store_are_in_utc(later):
    """As databases without time zones give them; what is later than the query stays left out."""
    from langgraph.store.memory import InMemoryStore

    from shadoweval.adapters.langchain.candidate_graphs import aisolate_graph, isolate_graph

    class Naive(InMemoryStore):
        def _naive(self, items):
            for item in items:
                item.created_at = item.updated_at = item.created_at.astimezone(dt.UTC).replace(tzinfo=None)
            return items

        def search(self, *args, **options):
            return self._naive(super().search(*args, **options))

        async def asearch(self, *args, **options):
            raise NotImplementedError("sync only")

    store = Naive()
    store.put(("notes",), "a", {"text": "remember"})
    as_of = dt.datetime.now(dt.UTC) + dt.timedelta(hours=-1 if later else 1)
    copies = [isolate_graph(chat(store=store), "t1", as_of=as_of)]
    copies.append(asyncio.run(aisolate_graph(chat(store=store), "t1", as_of=as_of)))
    assert [len(copy.store.search(())) for copy in copies] == [0 if later else 1] * 2


def test_a_call_that_goes_on_from_a_history_that_is_not_there_is_not_the_candidates_failure():
    """Its saver is empty here, and the query brought no history: what can't be run again proves nothing."""
    from langgraph.checkpoint.memory import InMemorySaver

    from shadoweval.adapters.langchain.candidate_runs import called_by
    from shadoweval.candidate.causes import cause_of

    with pytest.raises(Exception, match="no input") as caught:
        called_by(chat(InMemorySaver()), "invoke")(None, config={"configurable": {"thread_id": "t1"}})
    cause = cause_of(caught.value)
    assert "history of the thread" in cause.what
    assert "checkpointer in a database" in cause.mend


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_saver_over_a_sqlite_file_is_read_from_a_copy_of_the_file(tmp_path, mode):
    """A shadow may not lock production's file; what was committed is in the copy, its log's content too."""
    import sqlite3

    from shadoweval.adapters.langchain.candidate_graphs import _readable

    class Memory:
        def __init__(self, conn):
            self.conn = conn

    path = tmp_path / "prod.db"
    production = sqlite3.connect(path)
    production.execute(f"PRAGMA journal_mode={mode}")
    production.execute("CREATE TABLE t (x)")
    production.execute("INSERT INTO t VALUES (1)")
    production.commit()
    copy = _readable(Memory(production))
    assert copy.conn.execute("SELECT x FROM t").fetchall() == [(1,)]
    copy.conn.execute("INSERT INTO t VALUES (2)")
    copy.conn.commit()
    assert production.execute("SELECT x FROM t").fetchall() == [(1,)]
    in_memory = Memory(sqlite3.connect(":memory:"))
    assert _readable(in_memory) is in_memory
    for connection in (copy.conn, production, in_memory.conn):
        connection.close()
