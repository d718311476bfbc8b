"""The daemon is killed at random while many change things: what was answered is there, whole, and in the switch there is what a
fresh daemon makes of the database.  SALLYPORT_LONG=1: a thousand times, else ten; SALLYPORT_KILLS=N: as many."""

import http.client
import os
import random
import signal
import threading
import time

from lab import ApiError, Daemon
from scene import Scene, settle

import ovs

N_KILLS = int(os.environ.get("SALLYPORT_KILLS", 1000 if os.environ.get("SALLYPORT_LONG") else 10))
N_CLIENTS = 6


class Client(threading.Thread):
    """Changes a group and a server of its own until the daemon has gone."""

    def __init__(self, scene, number, rng):
        super().__init__()
        self.scene, self.number, self.rng, self.is_over, self.wrong = scene, number, rng, False, None
        self.daemon = Daemon(scene.directory)  # A connection of its own to the one daemon.
        self.answered = {}  # Path -> what the last answer said; a path that is being changed is missing.
        self.n_answers = 0

    def run(self):
        try:
            while not self.is_over:
                self._change()
        except (OSError, http.client.HTTPException):
            pass  # The daemon was killed.
        except (AssertionError, ApiError) as error:
            self.wrong = error

    def _ask(self, method, path, body, known=None):
        self.answered.pop(known, None)
        status, answer, _ = self.daemon.request(method, path + "?wait=0", body)
        assert status in (200, 201, 202, 204), (method, path, status, answer)
        self.n_answers += 1
        return answer

    def _change(self):
        rng = self.rng
        rules = [{"direction": "inbound", "protocol": "tcp", "port_min": port} for port in rng.sample(range(1, 1000), rng.randint(0, 9))]
        groups = [path for path, answer in self.answered.items() if "rules" in answer]
        if len(groups) < 3:
            answer = self._ask("POST", "/v1/security-groups", {"region": "SV2", "name": f"g{self.number}", "rules": rules})
            path = f"/v1/security-groups/{answer['id']}"
        else:
            path = rng.choice(groups)
            if rng.random() < 0.2:
                self._ask("DELETE", path, None, path)
                self.answered[path] = {}
                return
            self._ask("PUT", path + "/rules", {"rules": rules}, path)
        self.answered[path] = {"rules": [rule["port_min"] for rule in rules]}

    def judge(self, daemon):
        there = {f"/v1/security-groups/{group['id']}": [rule["port_min"] for rule in group["rules"] if rule["direction"] == "inbound"]
                 for group in daemon.get("/v1/security-groups")["security_groups"]}
        for path, answer in self.answered.items():
            found = there.get(path)
            assert found == answer.get("rules"), f"client {self.number}: {path} was answered with {answer}, there is {found}"


def test_killed_at_random(switches):
    seed = int(os.environ.get("SALLYPORT_SEED") or random.SystemRandom().randrange(1 << 32))
    print("seed", seed)
    rng = random.Random(seed)
    n_answers = 0
    with Scene(*switches) as scene:
        scene.fill()
        scene.daemon.start()
        clients = [Client(scene, number, random.Random(rng.random())) for number in range(N_CLIENTS)]
        for number in range(N_KILLS):
            clients = [renewed(client) for client in clients]
            for client in clients:
                client.start()
            time.sleep(rng.random() * 0.25)  # A moment by chance; nothing is waited for,
            if number == N_KILLS - 1 and not n_answers:  # unless the disk is so slow that nobody has ever had an answer.
                ovs.wait_until(lambda: count(clients), "a change is answered", 60)
            scene.daemon.end(signal.SIGKILL)
            for client in clients:
                client.is_over = True
                client.join()
                assert client.wrong is None, client.wrong
            scene.daemon.start()
            settle(scene.daemon)
            for client in clients:
                client.judge(scene.daemon)
            n_answers = count(clients)
            assert scene.live.flows() == scene.fresh_flows(scene.daemon.database), f"after {n_answers} answers"
    print(f"{N_KILLS} kills, {n_answers} answers")
    assert n_answers


def count(clients):
    return sum(client.n_answers for client in clients)


def renewed(client):
    """A thread runs once."""
    again = Client(client.scene, client.number, client.rng)
    again.answered, again.n_answers = client.answered, client.n_answers
    return again
