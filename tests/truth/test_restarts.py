"""Restarts of the controller, the switch and its database, under live conversations and a flood from ports that are nobody's."""

import os

import pytest
import restarts

SEED = int(os.environ.get("SALLYPORT_SEED", "1"))
CONVERSATIONS, FLOWS, RESTARTS = 400, 10000, 5


@pytest.fixture(scope="module")
def scene():
    with restarts.RestartLab() as lab:
        lab.register()
        made = restarts.Scene(lab, SEED, CONVERSATIONS, FLOWS)
        yield made
        made.close()
        assert lab.daemon.is_running(), lab.daemon.log()


def test_controller_restarts_with_nothing_changed(scene):
    assert scene.n_flows() >= FLOWS
    _, took = scene.restart_controller(RESTARTS)
    print("ms until confirmed:", [round(ms) for ms in took])


def test_change_made_while_it_was_down(scene):
    there, back = scene.cost_of_edit()
    assert 0 < there < 100 and 0 < back < 100
    scene.change_unconfirmed(there)
    scene.change_by_another_run(back)


def test_switch_restarts(scene):
    print("ms until repaired:", round(scene.restart_switch()), round(scene.restart_switch(renumber=True)))


def test_database_restarts(scene):
    print("ms until repaired:", round(scene.restart_database()))


def test_port_is_replaced(scene):
    print("ms until repaired:", round(scene.replace_port("s2-A")), round(scene.replace_port("s4-B")))


def test_port_moves_to_another_bridge(scene):
    print("ms until repaired:", round(scene.move_port()), round(scene.move_port()))
