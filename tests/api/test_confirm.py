"""Commit-confirm: what nobody confirms in time is taken back, whatever happens to the daemon meanwhile."""

import contextlib
import signal
import threading
import time

from test_events import Stream, metric
from test_undo import bare, made, objects, undo

RULE = {"direction": "inbound", "protocol": "tcp", "port_min": 80, "port_max": 80}


# How long what must be answered in time may take, in s: on a slow machine a try may be late, which is seen by the clock; then with more.
TRIES_S = (2, 10, 60)


def until(condition, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def change_of(answer):
    return int(answer.headers["Sallyport-Change"])


def state(api, change):
    return api.get(f"/v1/changes/{change}").json["confirmation"]["state"]


def confirm(api, change):
    return api.post(f"/v1/changes/{change}/confirm")


def confirmed_in_time(api, body):
    """A group on trial that is confirmed before its time is over: the change, the answer, and how long its time was."""
    for seconds in TRIES_S:
        begun = time.monotonic()
        change = change_of(made(api.post(f"/v1/security-groups?confirm_within={seconds}", body)))
        before, answer = state(api, change), confirm(api, change)
        if answer.status == 200:
            assert before == "pending"
            return change, answer, seconds
        assert time.monotonic() >= begun + seconds, f"{before} too early: {answer}"
    raise AssertionError("the machine is too slow for this test")


def test_nobody_confirms(api, region, group, rules):
    before = bare(api.get(f"/v1/security-groups/{group['id']}").json)
    answer = made(api.post(f"{rules}?confirm_within=1", RULE))
    change = change_of(answer)
    assert change == answer.revision and answer.status == 201
    until(lambda: state(api, change) == "rolled_back", "it is rolled back")
    assert bare(api.get(f"/v1/security-groups/{group['id']}").json) == before
    told = api.get(f"/v1/changes/{change}").json
    back = api.get(f"/v1/changes/{told['undone_by']}").json
    assert (back["undoes"], back["who"]) == (change, None)
    assert back["what"] == f"change {change} rolled back, as nobody confirmed it: rule added to group web"
    refused = confirm(api, change)
    assert refused.status == 409 and "rolled back" in refused.json["detail"]
    # The rollback is a change as every other.
    made(undo(api, back["id"]))
    assert len(api.get(rules).json["rules"]) == 1


def test_somebody_confirms(daemon):
    api = daemon.client()
    made(api.put("/v1/regions/A"))
    change, answer, seconds = confirmed_in_time(api, {"region": "A", "name": "web"})
    other = made(api.post(f"/v1/security-groups?confirm_within={seconds}", {"region": "A", "name": "other"}))  # Its time is over later.
    assert answer.applied and answer.json["confirmation"]["state"] == "confirmed"
    assert confirm(api, change).status == 200  # Once more does no harm.
    assert f"change {change} is confirmed" in daemon.text()
    until(lambda: state(api, change_of(other)) == "rolled_back", "the other one is rolled back")
    assert [one["name"] for one in api.get("/v1/security-groups").json["security_groups"]] == ["web"]
    assert daemon.stop() == 0
    daemon.start()
    assert state(daemon.client(), change) == "confirmed"


def at_once(daemon, *calls):
    """The answers to POSTs of all `calls` (paths), each by a client of its own, sent together."""
    answers, start = [None] * len(calls), threading.Barrier(len(calls))
    with contextlib.ExitStack() as stack:
        def call(n, path):
            client = daemon.client()
            stack.callback(client.close)
            client.get("/healthz")
            start.wait()
            answers[n] = client.post(path)

        threads = [threading.Thread(target=call, args=one) for one in enumerate(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return answers


def test_several_confirm(daemon):
    """Nobody who confirms in time is told that it was too late, also if others do so in the same moment."""
    api = daemon.client()
    made(api.put("/v1/regions/A"))
    for n in range(10):
        change = change_of(made(api.post("/v1/security-groups?confirm_within=3600", {"region": "A", "name": f"g{n}"})))
        answers = at_once(daemon, *[f"/v1/changes/{change}/confirm"] * 4)
        assert [answer.status for answer in answers] == [200] * 4, answers
        assert {answer.json["confirmation"]["state"] for answer in answers} == {"confirmed"}
    assert metric(api, 'sallyport_trials_ended_total{state="confirmed"}') == 10


def test_one_confirms_and_one_undoes(daemon):
    """It is confirmed for him who confirms, and undone after that; or it is undone, and nothing is left to confirm."""
    api = daemon.client()
    made(api.put("/v1/regions/A"))
    for n in range(20):
        change = change_of(made(api.post("/v1/security-groups?confirm_within=3600", {"region": "A", "name": f"g{n}"})))
        pair = [f"/v1/changes/{change}/confirm", f"/v1/changes/{change}/undo"]
        answers = at_once(daemon, *(pair if n % 2 else reversed(pair)))
        confirmed, undone = answers if n % 2 else reversed(answers)
        assert (confirmed.status, undone.status) in ((200, 201), (409, 201)), answers
        assert state(api, change) == ("confirmed" if confirmed.status == 200 else "rolled_back")
        assert api.get(f"/v1/changes/{change}").json["undone_by"] == change_of(undone)
    assert not api.get("/v1/security-groups").json["security_groups"]


def test_events_and_metrics(daemon):
    """Each trial is told twice, when it begins and how it ends; what is undone is counted."""
    api = daemon.client()
    made(api.put("/v1/regions/A"))
    with Stream(daemon) as stream:
        kept, undone, given_up = [change_of(made(api.post(f"/v1/security-groups?confirm_within={seconds}", {"region": "A", "name": "g"})))
                                  for seconds in (3600, 3600, 1)]
        for change in (kept, undone, given_up):
            data = stream.next_of("trial")
            assert (data["change"], data["confirmation"]["state"]) == (change, "pending")
            assert data["confirmation"] == api.get(f"/v1/changes/{change}").json["confirmation"] or change == given_up
        assert metric(api, "sallyport_trials_begun_total") == 3
        waiting = [one["id"] for one in api.get("/v1/changes?pending=true&region=A").json["changes"]]
        assert set(waiting) | {given_up} == {undone, kept, given_up}
        assert len(api.get("/v1/changes?pending=false").json["changes"]) >= 4
        assert api.get("/v1/changes?pending=1").fields == ["?pending"]
        made(undo(api, undone))
        assert confirm(api, kept).status == 200
        ends = [stream.next_of("trial") for _ in range(3)]
        assert {end["change"]: end["confirmation"]["state"] for end in ends} == {
            kept: "confirmed", given_up: "rolled_back", undone: "rolled_back"}
        assert confirm(api, kept).status == 200  # It is told once.
        made(api.post("/v1/security-groups?confirm_within=3600", {"region": "A", "name": "another"}))
        assert stream.next_of("trial")["confirmation"]["state"] == "pending"
    assert metric(api, "sallyport_trials_pending") == 1
    assert [metric(api, f'sallyport_trials_ended_total{{state="{state}"}}') for state in ("confirmed", "rolled_back", "failed")] == [1, 2, 0]
    assert metric(api, "sallyport_changes_undone_total") == 2
    assert metric(api, "sallyport_history_changes") == len(api.get("/v1/changes").json["changes"]) == 7


def test_what_it_touched_is_kept_as_it_is(api, region, group, rules):
    """Other changes of the same objects are refused and name it; those of others are not."""
    answer = made(api.post(f"{rules}?confirm_within=3600", RULE))
    change = change_of(answer)
    before = objects(api)
    for refused in (api.post(rules, dict(RULE, protocol="udp")), api.delete(f"/v1/security-groups/{group['id']}"),
                    api.patch(f"/v1/security-groups/{group['id']}?confirm_within=5", {"name": "x"}), api.delete(f"{rules}/{answer.json['id']}")):
        assert refused.status == 409 and f"Change {change} (rule added to group web)" in refused.json["detail"], refused
        assert group["id"] in refused.json["detail"]
    assert objects(api) == before
    other = made(api.post("/v1/security-groups", {"region": region, "name": "other"})).json
    made(api.post(f"/v1/security-groups/{other['id']}/rules", RULE))
    # To undo it by hand ends it as well.
    made(undo(api, change))
    assert state(api, change) == "rolled_back" and confirm(api, change).status == 409
    made(api.post(rules, dict(RULE, protocol="udp")))


def test_an_undoing_on_trial(api, region, group, rules):
    for n_before, seconds in enumerate(TRIES_S):
        first = change_of(made(api.post(rules, dict(RULE, priority=seconds))))
        begun = time.monotonic()
        second = change_of(made(api.post(f"/v1/changes/{first}/undo?confirm_within={seconds}")))
        n_meanwhile = len(api.get(rules).json["rules"])
        if n_meanwhile == n_before:
            break
        assert time.monotonic() >= begun + seconds, "it is rolled back too early, or undoes nothing"
    assert n_meanwhile == n_before, "the machine is too slow for this test"
    until(lambda: state(api, second) == "rolled_back", "it is rolled back")
    assert len(api.get(rules).json["rules"]) == n_before + 1


def test_it_cannot_be_rolled_back(daemon):
    """What is in the way stays, and the record and the log say so; also after a start."""
    api = daemon.client()
    made(api.put("/v1/regions/A"))
    for seconds in TRIES_S:
        begun = time.monotonic()
        group = made(api.post(f"/v1/security-groups?confirm_within={seconds}", {"region": "A", "name": "web"}))
        server = api.post("/v1/servers", {"region": "A", "name": "vm", "security_groups": [group.json["id"]]})
        if server.status == 201:
            break
        assert time.monotonic() >= begun + seconds, f"it is rolled back too early: {server}"
    change = change_of(made(group))
    assert server.status == 201, "the machine is too slow for this test"
    until(lambda: state(api, change) == "failed", "it has failed")
    told = api.get(f"/v1/changes/{change}").json
    assert "is used by 1 server and named by the rules of 0 other groups" in told["confirmation"]["reason"] and told["undone_by"] is None
    assert f"ERROR api: change {change} was not confirmed and cannot be rolled back: security group web" in daemon.text()
    assert api.get(f"/v1/security-groups/{group.json['id']}").status == 200
    assert confirm(api, change).status == 409
    made(api.patch(f"/v1/security-groups/{group.json['id']}", {"name": "www"}))
    daemon.process.send_signal(signal.SIGKILL)
    daemon.process.wait()
    daemon.start()
    assert daemon.client().get(f"/v1/changes/{change}").json == told


def test_a_reason_of_any_length(daemon):
    """What is in the way has the longest name that there is; it is told whole, here and in every list, also after a start."""
    api = daemon.client()
    made(api.put("/v1/regions/A"))
    name = "x" + "\N{GRINNING FACE}" * 254
    for seconds in TRIES_S:
        begun = time.monotonic()
        group = made(api.post(f"/v1/security-groups?confirm_within={seconds}", {"region": "A", "name": name}))
        server = api.post("/v1/servers", {"region": "A", "name": "vm", "security_groups": [group.json["id"]]})
        if server.status == 201:
            break
        assert time.monotonic() >= begun + seconds, f"it is rolled back too early: {server}"
    change = change_of(group)
    until(lambda: api.get(f"/v1/changes/{change}").json["confirmation"]["state"] == "failed", "it has failed")
    reason = api.get(f"/v1/changes/{change}").json["confirmation"]["reason"]
    assert reason.startswith(f"security group {name} is used by 1 server")
    daemon.process.send_signal(signal.SIGKILL)
    daemon.process.wait()
    daemon.start()
    told = {one["id"]: one["confirmation"] for one in daemon.client().get("/v1/changes").json["changes"]}
    assert told[change]["reason"] == reason


def test_killed_before_its_time(daemon):
    """Killed and started again at once: the time runs on, and it can still be confirmed."""
    api = daemon.client()
    made(api.put("/v1/regions/A"))
    kept = change_of(made(api.post("/v1/security-groups?confirm_within=3600", {"region": "A", "name": "kept"})))
    lost = change_of(made(api.post("/v1/security-groups?confirm_within=3", {"region": "A", "name": "lost"})))
    daemon.process.send_signal(signal.SIGKILL)
    daemon.process.wait()
    daemon.start()
    api = daemon.client()
    assert confirm(api, kept).status == 200
    until(lambda: state(api, lost) == "rolled_back", "it is rolled back")
    assert [one["name"] for one in api.get("/v1/security-groups").json["security_groups"]] == ["kept"]


def test_started_after_its_time(daemon):
    """What was due while the daemon was not there is taken back before anything else is changed."""
    api = daemon.client()
    made(api.put("/v1/regions/A"))
    change = change_of(made(api.post("/v1/security-groups?confirm_within=1", {"region": "A", "name": "lost"})))
    daemon.process.send_signal(signal.SIGKILL)
    daemon.process.wait()
    begun = time.monotonic()
    until(lambda: time.monotonic() > begun + 1.5, "its time is over")
    daemon.start()
    api = daemon.client()
    later = made(api.put("/v1/regions/B"))
    back = api.get(f"/v1/changes/{change}").json
    assert back["confirmation"]["state"] == "rolled_back" and back["undone_by"] < later.revision
    assert not api.get("/v1/security-groups").json["security_groups"]


def test_bounds(daemon):
    api = daemon.client()
    made(api.put("/v1/regions/A"))
    for number in range(64):
        made(api.post("/v1/security-groups?confirm_within=3600", {"region": "A", "name": f"g{number}"}))
    refused = api.post("/v1/security-groups?confirm_within=3600", {"region": "A", "name": "one too many"})
    assert refused.status == 409 and "64 changes wait" in refused.json["detail"]
    made(api.post("/v1/security-groups", {"region": "A", "name": "not on trial"}))
    group = made(api.post("/v1/security-groups", {"region": "A", "name": "large"})).json["id"]
    first = api.get("/v1/changes?limit=1000").json["changes"][-2]
    assert first["confirmation"]["state"] == "pending"
    made(confirm(api, first["id"]))
    listed = [{"direction": "inbound", "protocol": 6, "port_min": port} for port in range(1, 14001)]
    refused = api.put(f"/v1/security-groups/{group}/rules?confirm_within=60", {"rules": listed})
    assert refused.status == 409 and "could not be rolled back" in refused.json["detail"]
    assert len(api.get(f"/v1/security-groups/{group}/rules").json["rules"]) == 1


def test_wrong_calls(api, region, group, rules):
    for wrong in ("0", "3601", "x", "-1", ""):
        assert api.post(f"{rules}?confirm_within={wrong}", RULE).fields == ["?confirm_within"]
    answer = made(api.post(rules, RULE))
    assert api.get(f"/v1/changes/{change_of(answer)}").json["confirmation"] is None
    refused = confirm(api, change_of(answer))
    assert refused.status == 409 and "was not made with confirm_within" in refused.json["detail"]
    # What comes to nothing is not on trial.
    assert "Sallyport-Change" not in made(api.post(f"{rules}?confirm_within=60", RULE)).headers
    assert confirm(api, 99999999).status == 404
