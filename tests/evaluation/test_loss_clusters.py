"""From stored pairs to the sentences of a report: where the candidate loses, though nobody named that part."""

import json
import random

import pytest

from shadoweval import Experiment, Rules, better, no_worse
from shadoweval.evaluation.evaluate import evaluate
from shadoweval.evaluation.queries import with_queries
from shadoweval.records import Envelope, Failure, ToolCall
from shadoweval.reporting.document import document
from shadoweval.reporting.html import render
from shadoweval.reporting.markdown import markdown
from shadoweval.scoring import errors, recall
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import FixedClock, make_observation, make_query

COUNT = 600
WORDS = ("open", "close", "read", "write", "window", "button", "server", "letter", "number", "colour", "garden")
HOSTILE = "</bdi><script>alert(1)</script> ![x](http://evil) @someone"


def plain(rng, number, *, topic=""):
    """A question of words that any question may have, of a topic every fifth."""
    words = [*rng.sample(WORDS, 4), f"n{number}", *([topic] if number % 5 == 0 else [])]
    rng.shuffle(words)
    return " ".join(words)


class World:
    """Stored pairs of which each loses or wins by chance, and those of a part far more often lose."""

    def __init__(self, folder, *, seed=1):
        self.folder, self.rng = folder, random.Random(seed)
        self.pairs = []

    def ask(self, text, *, loses=0.1, wins=0.1, unit="", fails=0.0, tool="", **attributes):
        """One query, and how likely the candidate does worse, better, and fails."""
        query = make_query(len(self.pairs) + 1, text=text, unit=unit, attributes=attributes)
        chance, served, ran = self.rng.random(), ["right"], ["right"]
        if chance < loses:
            ran = ["wrong"]
        elif chance < loses + wins:
            served = ["wrong"]
        failure = Failure(kind="timeout", message="late") if self.rng.random() < fails else None
        calls = [ToolCall(name=tool, arguments={}, result="ok", effect="read")] if tool else []
        given = {"calls": calls} if tool else {}
        self.pairs.append(
            (query, make_observation(query, answer="a", hits=served, **given),
             make_observation(query, "new", answer="a", hits=ran, failure=failure, **given))
        )  # fmt: skip

    def evaluated(self, *, limit=10_000, gates=None):
        """The evaluation as a report shows it."""
        labels = self.folder / "labels.jsonl"
        texts = dict.fromkeys(query.text for query, _, _ in self.pairs)
        labels.write_text("\n".join(json.dumps({"query": t, "relevant": {"right": 1}}) for t in texts), "utf-8")
        experiment = Experiment(
            name="docs",
            candidates={"new": "app:new"},
            scorers=[recall(1), errors()],
            gates=gates or [better("recall@1", by=0.02)],
            labels=labels,
            rules=Rules(min_hours=0),
            settings=Settings(home=str(self.folder / "home")),
        )
        clock = FixedClock()
        clock.tick(3600)
        with SqlStore(f"sqlite:///{self.folder / 's.db'}", clock=clock) as store:
            sent = [Envelope(experiment="docs", query=query, served=served) for query, served, _ in self.pairs]
            store.add_envelopes(sent, arms={each.id: ["new"] for each in sent})
            for _, _, ran in self.pairs:
                store.add_observation(ran)
            evaluate(experiment, store=store, clock=clock)
            self.experiment, self.store = experiment, store
            return with_queries(*store.evaluations("docs"), experiment, store=store, limit=limit)


@pytest.fixture(name="world")
def _world(tmp_path):
    return World(tmp_path)


def clusters_of(evaluation):
    return evaluation.queries["new"].clusters


def test_a_topic_that_loses_is_a_sentence_of_the_report(world):
    """Its word, its share, the difference with bounds, and examples that are the topic's and losses."""
    for number in range(COUNT):
        world.ask(plain(world.rng, number, topic="refund"), loses=0.75 if number % 5 == 0 else 0.1)
    evaluation = world.evaluated()

    (place,) = [at for at, each in enumerate(clusters_of(evaluation)) if each.text == "the word: refund"]
    cluster = clusters_of(evaluation)[place]
    assert cluster.lower <= -0.65 <= cluster.upper < 0
    assert cluster.share == pytest.approx(0.2)
    rows = {row.id: row for row in evaluation.queries["new"].rows}
    assert len(cluster.examples) == 3
    for each in cluster.examples:
        assert "refund" in rows[each].text
        assert rows[each].scores["recall@1"][1].value < rows[each].scores["recall@1"][0].value
    assert {row.id for row in rows.values() if place in row.clusters} == {
        i for i, row in rows.items() if "refund" in row.text
    }

    page = render(evaluation).partition("<script")[0]
    assert "<h2>Where it loses</h2>" in page
    assert "<bdi>the word</bdi>: <b><bdi>refund</bdi></b>" in page
    assert "at most 5 %" in page
    assert f'href="#q={cluster.examples[0]}"' in page
    near, far = sorted((-cluster.lower, -cluster.upper))
    words = f"{-cluster.difference:.2f} lower ({near:.2f} to {far:.2f})"
    assert words in page
    said = markdown(evaluation, texts="short").replace("\\", "").replace("\u2060", "")
    assert f"- loses where the word: refund: recall@1 {words}, in 20 % of the queries; tested on" in said
    (verdict,) = json.loads(document(evaluation))["verdicts"]
    assert verdict["queries"]["clusters"][place]["features"] == {"the word": ["refund"]}
    assert place in {each for row in verdict["queries"]["rows"] for each in row["clusters"]}


def test_the_same_pipeline_as_both_arms_loses_nowhere(tmp_path):
    """Chance, failures and tools of either arm are no part: in none of some runs is anything said."""
    named = []
    for run in range(4):
        (tmp_path / str(run)).mkdir()
        world = World(tmp_path / str(run), seed=run)
        for number in range(300):
            world.ask(plain(world.rng, number, topic="refund"), plan="pro" if number % 3 else "free", tool="look_up")
        evaluation = world.evaluated()
        named += clusters_of(evaluation)
        assert "Where it loses" not in render(evaluation).partition("<script")[0]

    assert named == []


def test_below_two_hundred_pairs_nothing_is_said(world):
    """However clear it is."""
    for number in range(199):
        world.ask(plain(world.rng, number, topic="refund"), loses=1.0 if number % 5 == 0 else 0.0, wins=0.0)

    assert clusters_of(world.evaluated()) == ()


def test_repeats_of_a_query_are_one_pair(world):
    """A hundred and ninety different queries, each of them asked three times, are too few."""
    for number in range(570):
        world.ask(plain(random.Random(number % 190), number % 190, topic="refund"), loses=0.9 * (number % 5 == 0))

    assert clusters_of(world.evaluated()) == ()


def test_losses_that_crowd_the_table_make_no_part(world):
    """Of more pairs than are listed, those that were listed for their losses count for nothing: the sample does."""
    for number in range(COUNT):
        world.ask(plain(world.rng, number, topic="refund"), loses=0.3, wins=0.3)
    evaluation = world.evaluated(limit=250, gates=[no_worse("recall@1", by=0.05, critical=True)])

    assert evaluation.queries["new"].critical > 120
    assert clusters_of(evaluation) == ()


def test_a_gain_is_a_win_and_an_attribute_names_it(world):
    """On one plan the candidate is better."""
    for number in range(COUNT):
        pro = number % 4 == 0
        world.ask(plain(world.rng, number), wins=0.7 if pro else 0.1, plan="pro" if pro else f"free {number % 3}")
    evaluation = world.evaluated()

    assert "attribute plan: pro" in [cluster.text for cluster in clusters_of(evaluation)]
    page = render(evaluation).partition("<script")[0]
    assert "<h2>Where it wins</h2>" in page
    assert "<h2>Where it loses</h2>" not in page
    assert " higher (" in page


def test_failures_are_named_by_their_kind(world):
    """Runs that fail lose, and what they have in common is how they failed."""
    for number in range(COUNT):
        world.ask(plain(world.rng, number), fails=0.25, loses=0.05, wins=0.05)

    assert "failure: timeout" in [cluster.text for cluster in clusters_of(world.evaluated())]


def test_conversations_are_witnesses_as_a_whole(world):
    """A part that is two users of three hundred turns is none."""
    for number in range(COUNT):
        bad = number % 5 == 0
        unit = f"bad {number % 2}" if bad else f"user {number}"
        world.ask(plain(world.rng, number, topic="refund"), unit=unit, loses=0.8 if bad else 0.1)

    assert clusters_of(world.evaluated()) == ()


def test_hostile_values_stay_texts(world):
    """An attribute's value is the user's: neither the page nor Markdown takes it for markup."""
    for number in range(COUNT):
        evil = number % 4 == 0
        world.ask(plain(world.rng, number), loses=0.8 if evil else 0.1, plan=HOSTILE if evil else "good")
    evaluation = world.evaluated()
    (cluster,) = [each for each in clusters_of(evaluation) if HOSTILE in each.text]

    page = render(evaluation)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page.partition("<script")[0]
    said = markdown(evaluation, texts="full")
    assert "![x]" not in said
    assert "@someone" not in said
    assert "someone" in said
    assert cluster.metric == "recall@1"


def test_a_report_without_texts_has_no_words_of_queries(world):
    """That there is a part, and its numbers, stay."""
    for number in range(COUNT):
        bad = number % 5 == 0
        world.ask(plain(world.rng, number, topic="refund"), loses=0.75 if bad else 0.1)
    evaluation = world.evaluated()
    assert "the word: refund" in [cluster.text for cluster in clusters_of(evaluation)]

    for written in (render(evaluation, texts="none"), markdown(evaluation), document(evaluation, texts="none")):
        assert "refund" not in written
    assert "(not in this report)" in render(evaluation, texts="none")


@pytest.mark.parametrize(
    ("topic", "gap", "others"),
    [
        ("返品したい", "", ["開け方は", "自転車を", "窓の色", "手紙を書く", "夏の庭"]),
        ("استرداد", " ", ["نافذة", "دراجة", "رسالة", "حديقة", "صيف"]),
    ],
)
def test_topics_of_other_scripts_are_named(world, topic, gap, others):
    """Japanese has no spaces, Arabic reads from right to left."""
    for number in range(COUNT):
        bad = number % 5 == 0
        words = [*world.rng.sample(others, 2), *([topic] if bad else [])]
        world.ask(gap.join([*words, str(number)]), loses=0.8 if bad else 0.1)
    clusters = clusters_of(world.evaluated())

    assert any(value in topic for cluster in clusters for value in cluster.features.get("the word", ()))


def test_queries_all_alike_and_an_attribute_of_many_values_have_no_part(world):
    """One text, a thousand values: there is nothing to tell queries apart by."""
    for number in range(300):
        world.ask("the same question", unit=f"user {number}", loses=0.4, wins=0.1, ticket=f"T{number}")

    parts = [cluster.text for cluster in clusters_of(world.evaluated())]
    assert parts == ["first difference: other documents"]


def test_what_was_erased_belongs_to_no_part(world):
    """After an erasure of the topic's users a report says nothing of it."""
    for number in range(COUNT):
        bad = number % 5 == 0
        unit = f"ann {number}" if bad else f"user {number}"
        world.ask(plain(world.rng, number, topic="refund"), unit=unit, loses=0.8 if bad else 0.1)
    evaluation = world.evaluated()
    assert clusters_of(evaluation)

    clock = FixedClock()
    clock.tick(7200)
    with SqlStore(f"sqlite:///{world.folder / 's.db'}", clock=clock) as store:
        for number in range(0, COUNT, 5):
            store.erase(f"ann {number}")
        later = with_queries(*store.evaluations("docs"), world.experiment, store=store)
    assert clusters_of(later) == ()
    assert "refund" not in render(later)
