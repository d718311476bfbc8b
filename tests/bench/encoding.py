"""Item 8: how many flows rules become."""

import random
import re

import measure
import one_bridge

REGION = one_bridge.REGION
ELSEWHERE = 0xE15E  # A bridge that never connects.
PREFIX_COVER = 14.0  # Mean of the prefixes that a random range of 16 bits needs; what ovs-ofctl and Neutron's driver install (twice).


def encoding(report, settings):
    random_ranges(report, settings)
    address_sets(report, settings)


BLOCK = re.compile(r"table=2[01],.* priority=641(0[1-9]|1[0-6]),")  # SP_UNNAMED_PRIORITY: ports that no rule names.


def rule_flows(bridge):
    """Flows for the ports of rules, those that a nest takes out among them, and those of blocks, of which a set has some, and no range:
    tables RULES_OUT and RULES_IN."""
    lines = [line for table in (20, 21) for line in bridge.ovs.ofctl("dump-flows", "br0", f"table={table}", timeout=60).splitlines()
             if "table=" in line]
    n_blocks = sum(1 for line in lines if BLOCK.search(line))
    return len(lines) - n_blocks, n_blocks


def base(bridge):
    bridge.connect()
    bridge.fill()
    bridge.ours.await_in_step()
    return rule_flows(bridge), bridge.n_flows()


def random_ranges(report, settings):
    generator = random.Random(1)
    n = 400
    rules = []
    for i in range(n):
        low, high = sorted((generator.randrange(65536), generator.randrange(65536)))
        rules.append({"direction": "inbound", "protocol": "tcp", "port_min": low, "port_max": high, "remote_ip": f"10.{i // 256}.{i % 256}.0/24"})
    alone = [dict(rule, remote_ip=None) for rule in rules]
    with one_bridge.Bridge(1, []) as bridge:
        (without, _), _ = base(bridge)
        path = f"/v1/security-groups/{bridge.groups[0]}/rules?wait=60"
        bridge.ours.call("PUT", path, {"rules": rules})
        bridge.ours.await_in_step()
        report.add("8", f"{n} random ranges, a remote each: flows per range", (rule_flows(bridge)[0] - without) / n, "", "prefix cover",
                   PREFIX_COVER, measure.times, "<= 10.5", note="no packet is for two of them, though their ports touch")
        # Each range alone in its group: what it decides is known for every port.
        total = total_blocks = 0
        for rule in alone[:100]:
            bridge.ours.call("PUT", path, {"rules": [rule]})
            bridge.ours.await_in_step()
            n_flows, n_blocks = rule_flows(bridge)
            total += n_flows - without
            total_blocks += n_blocks
        report.add("8", "100 random ranges, each alone: flows per range", total / 100 / 2, "", "prefix cover", PREFIX_COVER,
                   measure.times, "<= 10.5", note=f"per address family; and {total_blocks / 100 / 2:.1f} blocks of the set")


def address_sets(report, settings):
    """50 rules, each for one of 10 sets of 500 addresses."""
    n_sets, n_addresses, n_rules = (10, 500, 50) if settings.ports >= 500 else (5, 20, 10)
    with one_bridge.Bridge(1, []) as bridge:
        sets = [bridge.ours.make_group(REGION, f"set{k}", []) for k in range(n_sets)]
        for k, group in enumerate(sets):
            bridge.ours.make_servers(REGION, [group], ((1000 + k * n_addresses + i, ELSEWHERE, f"e{k * n_addresses + i}")
                                                       for i in range(n_addresses)))
        _, without = base(bridge)
        rules = [{"direction": "inbound", "protocol": "tcp", "port_min": 1000 + 7 * i, "port_max": 1001 + 7 * i, "remote_group": sets[i % n_sets]}
                 for i in range(n_rules)]
        bridge.ours.call("PUT", f"/v1/security-groups/{bridge.groups[0]}/rules?wait=60", {"rules": rules})
        bridge.ours.await_in_step()
        masks = sum(1 if (1000 + 7 * i) % 2 == 0 else 2 for i in range(n_rules))
        report.add("8", f"{n_rules} rules x {n_sets} sets x {n_addresses} addresses: flows", bridge.n_flows() - without, "", "product",
                   masks * n_addresses, measure.faster, "<= 6,000")
