"""A whole call, driven at random from both ends. Whatever they do, the core keeps its word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from relay.core import commands as do
from relay.core import events as on
from relay.core.budget import Level, Tariff
from relay.core.phases import Phase
from relay.core.records import CallEnded, DispositionChosen, SpendAdded, TranscriptLine
from tests.core.driver import HUSH, LOUD, MS, TIMES, Driver
from tests.core.test_budget import PRICES

ITEMS = st.sampled_from(["a1", "a2", "a3", "a4"])
WRITTEN = st.sampled_from(["w1", "w2", "w3", "a1"])
RESPONSE_IDS = ("r1", "r2", "r3")
RESPONSES = st.sampled_from(RESPONSE_IDS)
UTTERANCES = st.sampled_from(["u1", "u2", "u3"])
CALLS = st.sampled_from(["c1", "c2", "c3", "c4"])
NAMES = st.sampled_from(
    [
        "lookup_hours",
        "book_appointment",
        "transfer_to_human",
        "cancel_transfer",
        "end_call",
        "wait_for_caller",
        "ask_larger_model",
        "no_such_thing",
    ]
)
#: What only a session that is ready may be told.
TOLD = (
    do.AppendAudio
    | do.RetellAudio
    | do.AddText
    | do.CreateResponse
    | do.CreateText
    | do.AskPrivately
    | do.CancelResponse
    | do.TruncateItem
    | do.DeleteItem
    | do.PostToolOutput
    | do.SetTurnSilence
    | do.CommitAudio
)
#: What only such a session says.
OF_A_SESSION = (
    on.SpeechStarted
    | on.SpeechStopped
    | on.InputCommitted
    | on.CallerTranscribed
    | on.ResponseStarted
    | on.AgentAudio
    | on.AgentAudioEnded
    | on.AgentTranscribed
    | on.FunctionCalled
    | on.AgentText
    | on.AgentWrote
    | on.ResponseEnded
)


class AnyCall(RuleBasedStateMachine):
    """Events of both wires in any order, sensible or not, with a telephone that obeys its laws."""

    make: Callable[..., Driver] = Driver

    @initialize(
        echo=st.booleans(),
        ready=st.booleans(),
        begun=st.booleans(),
        live=st.sampled_from(["", "Hi."]),
        cap=st.sampled_from([None, 15_000, 200_000]),
        day_cap=st.booleans(),
        second_voice=st.booleans(),
        hard=st.booleans(),
        orderly=st.booleans(),
    )
    def open(
        self,
        echo: bool,
        ready: bool,
        begun: bool,
        *,
        live: str,
        cap: int | None,
        day_cap: bool,
        second_voice: bool,
        hard: bool = False,
        orderly: bool = False,
    ) -> None:
        """orderly: nobody hears of a session that is not ready, as the shell sees to"""
        self.driver = self.make(
            echo=echo,
            live=live,
            max_call_s=60.0,
            unbroken_s=8.0,
            prices=replace(PRICES, voice=Tariff("flash", characters=50_000)),
            second_voice=second_voice,
            hard_model=hard,
            record_calls=True,
            max_call_micro_usd=cap,
            day_cap=day_cap,
        )
        self.day_cap, self.held = day_cap, False
        self.received: Counter[str] = Counter()
        self.model_calls: set[str] = set()
        self.orderly = orderly
        self.ready = False  # there is a session that knows what it is for
        self.left_at: float | None = None
        self.seen = 0
        if begun:
            self.driver.start(ready=ready)
            self.ready, self.seen = ready, len(self.driver.log)

    def look(self) -> None:
        """What was said since the last look: to whom, and in which order."""
        for at, command in self.driver.log[self.seen :]:
            match command:
                case do.DialModel() | do.CloseModel():
                    self.ready = False
                case do.ClosePhone():
                    assert self.left_at is None, "left twice"
                    self.left_at = at
                case do.SendAudio() | do.ClearPhone():
                    assert self.left_at is None, "spoke into a stream that is closed"
                case _:
                    nobody = self.orderly and not self.ready
                    assert not (nobody and isinstance(command, TOLD)), f"told nobody: {command}"
        self.seen = len(self.driver.log)

    def feed(self, *events: on.Event) -> None:
        ended = self.driver.call.phase is Phase.ENDED
        for event in events:
            if self.orderly and isinstance(event, OF_A_SESSION) and not self.ready:
                continue
            spent = self.driver.call.spent
            if isinstance(event, on.ModelReady):
                self.ready = self.dialled()
            commands = self.driver.feed(event)
            self.look()
            assert not (ended and commands), "a call that is over said something"
            if isinstance(event, on.DayBudget):
                self.held = event.level >= Level.HELD
            else:
                self.hold(commands, spent)
        deadline = self.driver.call.deadline
        assert deadline is None or deadline > self.driver.now, "something due was left undone"

    def dialled(self) -> bool:
        """Whether a session was dialled and not closed since."""
        links = [c for _, c in self.driver.log if isinstance(c, do.DialModel | do.CloseModel)]
        return bool(links) and isinstance(links[-1], do.DialModel)

    def hold(self, commands: list[do.Command], spent: int) -> None:
        """While the day has no room, or it is not known whether it has, nothing is asked for."""
        if self.held:
            asked = [c for c in commands if isinstance(c, do.CreateResponse | do.CreateText)]
            assert all(c.purpose == "greeting" for c in asked), "asked beyond the cap"
        self.held = self.held or (self.day_cap and self.driver.call.spent != spent)

    @rule(seconds=st.sampled_from([0.0, 0.02, 0.1, 0.7, 3.0, 12.0]))
    def time_passes(self, seconds: float) -> None:
        spent = self.driver.call.spent
        self.hold(self.driver.wait(seconds), spent)
        self.look()

    @rule()
    def phone_starts(self) -> None:
        self.feed(on.PhoneStarted("MZ1", "CA1"))

    @rule(frames=st.integers(1, 20), level=st.sampled_from([HUSH, -45.0, LOUD]))
    def caller_is_heard(self, frames: int, level: float) -> None:
        self.driver.hear(frames / 50, level)
        self.look()

    @rule(frames=st.integers(1, 20), level=st.sampled_from([HUSH, -45.0, LOUD]))
    def caller_is_told_of(self, frames: int, level: float) -> None:
        """The same, of frames that have gone on to the model by themselves."""
        if not self.driver.call.hears_at_once:
            return
        self.driver.wait(frames / 50)
        self.look()
        self.feed(on.CallerPassed(bytes(160 * frames), [(20, level, 0)] * frames))

    @rule(name=st.sampled_from(["0:a1:20", "1:a1:20", "x", "0:clip_greeting_1:20"]))
    def odd_mark_comes(self, name: str) -> None:
        self.feed(on.MarkEchoed(name))

    @rule(key=st.sampled_from("0123*#"))
    def key_is_pressed(self, key: str) -> None:
        self.feed(on.KeyPressed(key))

    @rule(event=st.sampled_from([on.ModelOpened(), on.ModelReady()]))
    def model_comes_up(self, event: on.Event) -> None:
        self.feed(event)

    @rule(item=UTTERANCES, ms=st.integers(0, 60_000))
    def speech_starts(self, item: str, ms: int) -> None:
        self.feed(on.SpeechStarted(item, ms))

    @rule(
        item=UTTERANCES,
        ms=st.integers(0, 60_000),
        commit=st.booleans(),
        previous=st.sampled_from([None, "u1", "u2", "a1", "a2", "x"]),
    )
    def speech_stops(self, item: str, ms: int, commit: bool, previous: str | None) -> None:
        self.feed(on.SpeechStopped(item, ms))
        if commit:
            self.feed(on.InputCommitted(item, previous))

    @rule(
        item=UTTERANCES,
        text=st.sampled_from(["", "Yes.", "Call 911!", "Do not record me."]),
        failed=st.booleans(),
    )
    def words_come(self, item: str, text: str, failed: bool) -> None:
        refusing = "record" in text
        event = on.CallerTranscribed(item, text, failed, "911" in text, refusing, {"audio_ms": 900})
        self.feed(event)

    @rule(level=st.sampled_from(list(Level)))
    def the_day_goes_on(self, level: Level) -> None:
        self.feed(on.DayBudget(level))

    @rule(
        attempt=st.sampled_from(["h1", "h2"]),
        what=st.sampled_from(
            [
                on.HumanRinging,
                on.HumanAccepted,
                lambda attempt: on.HumanLost(attempt, "busy"),
                lambda attempt: on.HumanLost(attempt, "hung_up"),
            ]
        ),
    )
    def human_is_heard_of(self, attempt: str, what: Callable[[str], on.Event]) -> None:
        self.feed(what(attempt))

    @rule(event=st.sampled_from([on.PauseAsked(), on.ResumeAsked(), on.RecordingRefused()]))
    def keeping_is_asked_about(self, event: on.Event) -> None:
        self.feed(event)

    @rule(response=RESPONSES)
    def summary_is_written(self, response: str) -> None:
        self.feed(on.ResponseStarted(f"p_{response}", "summary"))
        self.feed(on.AgentWrote(f"p_{response}", "They want a cleaning."))
        self.feed(on.ResponseEnded(f"p_{response}", "completed"))

    @rule(
        lines=st.sampled_from([(), (("user", "Hi."), ("assistant", "Hello."))]),
        consent=st.sampled_from(["", "stayed", "declined", "unknown"]),
        begin=st.booleans(),
    )
    def stream_goes_on(
        self, lines: tuple[tuple[str, str], ...], consent: str, *, begin: bool
    ) -> None:
        tools = (("book_appointment", "{}", "running", ""),)
        self.feed(on.CallResumed(lines, 500, 3.0, 1, tools, consent=consent, hard=True, returns=1))
        if begin:
            self.feed(on.PhoneStarted("MZ1", "CA1", parameters={"why": "moved"}))

    @rule()
    def move_is_asked(self) -> None:
        self.feed(on.MoveAsked())

    @rule(response=RESPONSES)
    def response_starts(self, response: str) -> None:
        self.feed(on.ResponseStarted(response, "turn"))

    @rule(response=RESPONSES, item=ITEMS, ms=st.integers(0, 4000))
    def agent_audio_comes(self, response: str, item: str, ms: int) -> None:
        self.received[item] += ms
        self.feed(on.AgentAudio(response, item, bytes(ms * MS), -20.0))

    @rule(response=RESPONSES, item=ITEMS)
    def agent_audio_ends(self, response: str, item: str) -> None:
        self.feed(on.AgentAudioEnded(response, item), on.AgentTranscribed(response, item, "Words."))

    @rule(response=RESPONSES, item=WRITTEN, text=st.sampled_from(["", " ", "Yes. ", "It is so. "]))
    def agent_writes(self, response: str, item: str, text: str) -> None:
        self.feed(on.AgentText(response, item, text))

    @rule(response=RESPONSES, item=WRITTEN)
    def agent_has_written(self, response: str, item: str) -> None:
        self.feed(on.AgentWrote(response, "Yes. It is so.", item))

    @rule(response=RESPONSES, item=WRITTEN, ms=st.integers(0, 3000), chars=st.integers(0, 20))
    def voice_sounds(self, response: str, item: str, ms: int, chars: int) -> None:
        self.received[item] += ms
        self.feed(on.WordsTimed(item, ((chars, ms),)))
        self.feed(on.AgentAudio(response, item, bytes(ms * MS), -20.0))

    @rule(response=RESPONSES, item=WRITTEN)
    def voice_is_done(self, response: str, item: str) -> None:
        self.feed(on.AgentAudioEnded(response, item))

    @rule(why=st.sampled_from(["closed", "quota"]))
    def voice_is_lost(self, why: str) -> None:
        self.feed(on.VoiceLost(why))

    @rule(response=RESPONSES, call=CALLS, name=NAMES)
    def function_is_called(self, response: str, call: str, name: str) -> None:
        self.model_calls.add(call)
        self.feed(on.FunctionCalled(response, f"item_{call}", call, name, "{}"))

    @rule(
        call=st.sampled_from(["c1", "c2", "c3", "c4", "ours_1", "ours_2"]),
        outcome=st.sampled_from(["", "booked"]),
        ok=st.booleans(),
        refused=st.sampled_from(["", "closed", "cancelled"]),
    )
    def tool_finishes(self, call: str, outcome: str, *, ok: bool, refused: str) -> None:
        notice = "They booked." if outcome else ""
        self.feed(on.ToolFinished(call, "{}", ok, outcome, notice, refused))

    @rule(
        response=RESPONSES,
        status=st.sampled_from(["completed", "cancelled", "failed", "incomplete"]),
        reason=st.sampled_from(["", "max_output_tokens", "content_filter"]),
        tokens=st.sampled_from([0, 900]),
    )
    def response_ends(self, response: str, status: str, reason: str, tokens: int) -> None:
        usage = {"input_audio": tokens, "output_audio": tokens // 10} if tokens else {}
        self.feed(on.ResponseEnded(response, status, reason, usage=usage))

    @rule(
        code=st.sampled_from(
            [
                "conversation_already_has_active_response",
                "invalid_value",
                "session_expired",
                "insufficient_quota",
            ]
        )
    )
    def model_errs(self, code: str) -> None:
        self.feed(on.ModelErrored(code, "…"))

    @rule(side=st.sampled_from(["phone", "model"]), full=st.booleans())
    def a_side_misbehaves(self, side: str, full: bool) -> None:
        self.feed(on.OutboxFull(side) if full else on.PeerMisbehaved(side, "bad_json"))

    @rule(
        event=st.sampled_from(
            [on.PhoneStopped(), on.PhoneClosed(), on.ModelClosed(), on.ModelClosed(3000)]
        )
    )
    def a_side_leaves(self, event: on.Event) -> None:
        self.feed(event)

    @invariant()
    def at_most_one_truncate_and_never_beyond_the_audio(self) -> None:
        if not hasattr(self, "driver"):
            return
        cuts = self.driver.sent(do.TruncateItem)
        assert set(self.by_session(do.TruncateItem).values()) <= {1}
        assert all(0 < c.audio_end_ms <= self.received[c.item_id] for c in cuts)

    @invariant()
    def nothing_is_forgotten_twice(self) -> None:
        if not hasattr(self, "driver"):
            return
        times = self.by_session(do.DeleteItem)
        assert all(n == 1 for (_, item), n in times.items() if item[0] in "wh")

    def by_session(self, kind: type) -> Counter[tuple[int, str]]:
        """How often a session was told of an item. Another may call something else by its name."""
        times: Counter[tuple[int, str]] = Counter()
        session = 0
        for _, command in self.driver.log:
            session += isinstance(command, do.DialModel | do.CloseModel)
            if isinstance(command, kind):
                times[session, command.item_id] += 1
        return times

    @invariant()
    def a_voice_that_is_lost_is_not_spoken_with(self) -> None:
        if not hasattr(self, "driver"):
            return
        kinds = [c for _, c in self.driver.log]
        lost = next((n for n, c in enumerate(kinds) if c == do.Note("voice_lost", "quota")), None)
        voice = do.OpenVoice | do.SayText | do.DropText | do.CreateText
        assert lost is None or not any(isinstance(c, voice) for c in kinds[lost:])

    @invariant()
    def every_function_is_answered_at_most_once(self) -> None:
        if not hasattr(self, "driver"):
            return
        answers = Counter(c.call_id for c in self.driver.sent(do.PostToolOutput))
        assert all(n == 1 for n in answers.values())
        runs = Counter(c.call_id for c in self.driver.sent(do.RunTool))
        assert all(n == 1 for n in runs.values())

    @invariant()
    def rows_add_up_to_what_the_call_has_cost(self) -> None:
        if not hasattr(self, "driver"):
            return
        rows = {row.ref: row.micro_usd for row in self.driver.kept(SpendAdded)}
        assert sum(rows.values()) == self.driver.call.spent

    @invariant()
    def what_goes_out_is_what_came_in_and_no_more(self) -> None:
        if not hasattr(self, "driver"):
            return
        sent = Counter[str]()
        for chunk in self.driver.sent(do.SendAudio):
            _, _, rest = chunk.mark.partition(":")
            item, _, ms = rest.rpartition(":")
            sent[item] += len(chunk.mulaw)
            assert sent[item] == int(ms) * MS, "a mark tells of what was not sent, or twice"
        spoken = {item: n for item, n in sent.items() if not item.startswith("clip_")}
        assert all(n <= self.received[item] * MS for item, n in spoken.items())
        for line in self.driver.kept(TranscriptLine):
            assert line.heard_ms is None or line.heard_ms * MS <= sent[line.item_id]
            assert line.generated_text.startswith(line.heard_text), "said what was not said"

    @invariant()
    def a_recording_needs_the_notice_and_outlives_no_refusal(self) -> None:
        if not hasattr(self, "driver"):
            return
        kinds = [c for _, c in self.driver.log]
        starts = [n for n, c in enumerate(kinds) if isinstance(c, do.StartRecording)]
        ends = [n for n, c in enumerate(kinds) if isinstance(c, do.DropRecording)]
        assert len(starts) <= 1
        assert len(ends) <= 1
        later = kinds[ends[0] :] if ends else []
        assert not any(isinstance(c, do.StartRecording | do.ResumeRecording) for c in later)
        assert not any(
            isinstance(c, do.Keep) and isinstance(c.record, TranscriptLine) for c in later
        )
        assert not starts or self.driver.call.statistics().notice_heard

    @invariant()
    def no_two_lines_stand_in_one_place(self) -> None:
        if not hasattr(self, "driver"):
            return
        lines = {line.item_id: line.position for line in self.driver.kept(TranscriptLine)}
        assert len(set(lines.values())) == len(lines)

    @invariant()
    def the_timers_settle(self) -> None:
        if hasattr(self, "driver"):
            assert "timers_do_not_settle" not in self.driver.notes()

    def teardown(self) -> None:
        """Both peers leave, at last: the call ends, once, and every function has its answer."""
        if not hasattr(self, "driver"):
            return
        self.feed(*(on.ResponseEnded(response, "completed") for response in RESPONSE_IDS))
        self.driver.wait(20)
        greets = self.driver.call.phase is Phase.GREETING
        # Sound that nobody asked for may be longer than that, and is heard before a late greeting.
        assert not greets or any(self.received.values()), "a greeting without an end"
        self.feed(on.PhoneClosed(), on.ModelClosed())
        self.driver.wait(30)
        assert self.driver.call.phase is Phase.ENDED
        assert len(self.driver.sent(do.EndCall)) == 1
        started = any(isinstance(c, do.DialModel) for _, c in self.driver.log)
        moved = any(row.disposition == "resume" for row in self.driver.kept(DispositionChosen))
        assert len(self.driver.kept(CallEnded)) == (started and not moved)
        assert len(self.driver.kept(DispositionChosen)) == len(self.driver.sent(do.ClosePhone))


TestAnyCall = AnyCall.TestCase
TestAnyCall.settings = settings(max_examples=80 * TIMES, stateful_step_count=50, deadline=None)


class Asked(RuleBasedStateMachine):
    """A model that follows its protocol: it never has two responses, and is never asked for two."""

    @initialize()
    def open(self) -> None:
        self.driver = Driver()
        self.driver.greeted()
        self.asked = self.count = 0
        self.lost = False
        self.active: str | None = None
        self.open_calls: list[str] = []
        self.owed: set[str] = set()
        self.seen = len(self.driver.log)

    def look(self) -> None:
        for _, command in self.driver.log[self.seen :]:
            match command:
                case do.CreateResponse():
                    assert self.active is None, "asked while a response was active"
                    assert not self.asked, "asked twice"
                    self.asked = 1
                case do.CancelResponse(response_id):
                    assert response_id == self.active
                case do.PostToolOutput(call_id):
                    assert call_id in self.owed
                    self.owed.discard(call_id)
                case do.RunTool(call_id):
                    self.open_calls.append(call_id)
                case do.CloseModel():
                    self.lost = True  # too slow: nobody is owed anything any more
                    self.owed.clear()
                case _:
                    pass
        self.seen = len(self.driver.log)

    def alive(self) -> bool:
        return self.driver.call.phase is Phase.TALKING and not self.lost

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 3.5]))
    def time_passes(self, seconds: float) -> None:
        self.driver.wait(seconds)
        self.look()

    @rule(seconds=st.sampled_from([0.1, 0.3, 1.2]))
    def caller_speaks(self, seconds: float) -> None:
        self.count += 1
        self.driver.caller_says(f"u{self.count}", seconds)
        self.look()

    @rule(ms=st.integers(0, 3000), names=st.lists(NAMES, max_size=3), calm=st.booleans())
    def model_answers(self, ms: int, names: list[str], calm: bool) -> None:
        if not self.asked or not self.alive():
            return
        self.count += 1
        response = self.active = f"r{self.count}"
        self.asked = 0
        self.driver.feed(on.ResponseStarted(response, "turn"))
        self.look()
        if ms:
            item = f"a{self.count}"
            self.driver.feed(on.AgentAudio(response, item, bytes(ms * MS), -20.0))
            self.driver.feed(on.AgentAudioEnded(response, item))
        if not calm:
            self.driver.feed(on.SpeechStarted(f"b{self.count}", 0))
            self.driver.hear(0.4)
        for n, name in enumerate(names):
            call = f"c{self.count}_{n}"
            self.owed.add(call)
            self.driver.feed(on.FunctionCalled(response, f"f{call}", call, name, "{}"))
        self.look()
        self.active = None
        self.driver.feed(on.ResponseEnded(response, "completed" if calm else "cancelled"))
        if not calm:
            self.driver.feed(on.SpeechStopped(f"b{self.count}", 2000))
            self.driver.feed(on.InputCommitted(f"b{self.count}"))
        self.look()

    @rule()
    def tool_finishes(self) -> None:
        if self.open_calls:
            self.driver.feed(on.ToolFinished(self.open_calls.pop(0), "{}"))
            self.look()

    def teardown(self) -> None:
        """Let everything come to rest: no function is left without its answer."""
        if not hasattr(self, "driver") or self.driver.call.phase is not Phase.TALKING:
            return
        while self.open_calls:
            self.tool_finishes()
        self.driver.wait(5)
        self.look()
        while self.open_calls:
            self.tool_finishes()
        if self.alive() or self.driver.call.phase is Phase.LEAVING:
            assert not self.owed, f"never answered: {self.owed}"
        played = len(self.driver.played)
        self.driver.wait(130)  # longer than anybody who asks for it is waited for
        assert len(self.driver.played) > played or self.driver.sent(do.ClosePhone), "silence"


TestAsked = Asked.TestCase
TestAsked.settings = settings(max_examples=50 * TIMES, stateful_step_count=40, deadline=None)


def test_ten_minutes_of_talk_run_on_a_clock_that_nobody_waits_for() -> None:
    """30,000 frames and 75 turns through the core alone; `bench/call.py` says how fast."""
    driver = Driver(max_call_s=3600.0)
    driver.greeted()
    turn = 0
    while driver.now < 600:
        turn += 1
        driver.caller_says(f"u{turn}", 2.0)
        driver.agent_says(f"a{turn}", 4000, response=f"r{turn}")
        driver.hear(5.0, HUSH)
    assert len(driver.sent(do.AppendAudio)) == 30_000
    assert driver.call.statistics().answers == turn
    assert driver.call.phase is Phase.TALKING
