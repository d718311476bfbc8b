"""The evaluator's own truth, by hand."""

import ipaddress

import policy
import verdict


def one(rules, remote="10.0.0.1", protocol=6, port=80, icmp_type=-1, icmp_code=-1, servers=()):
    group = policy.Group("g", "SV2")
    group.rules = rules
    server = policy.Server("s", "SV2")
    server.groups = [group]
    return verdict.allows(server, "inbound", ipaddress.ip_address(remote), protocol, port, icmp_type, icmp_code, servers)


def rule(**fields):
    if "remote_ip" in fields:
        fields["remote_ip"] = ipaddress.ip_network(fields["remote_ip"])
    return {"direction": "inbound", "protocol": "any", **fields}


def test_evaluator():
    assert not one([])
    assert not one([{"direction": "outbound", "protocol": "any"}])
    assert one([rule()])
    assert not one([rule(), rule(action="deny")])
    assert one([rule(priority=99), rule(action="deny")])
    assert not one([rule(), rule(action="deny", priority=99)])
    assert one([rule(protocol="tcp", port_min=80, port_max=81)], port=81)
    assert not one([rule(protocol="tcp", port_min=80, port_max=81)], port=82)
    assert not one([rule(protocol="udp")])
    assert one([rule(protocol=47)], protocol=47)
    assert one([rule(remote_ip="10.0.0.0/31")])
    assert not one([rule(remote_ip="::/0")])
    assert not one([rule(protocol="icmp")], remote="fd00::1", protocol=1)
    assert one([rule(protocol="icmp", icmp_type=8)], protocol=1, icmp_type=8, icmp_code=1)
    assert not one([rule(protocol="icmp", icmp_type=8, icmp_code=0)], protocol=1, icmp_type=8, icmp_code=1)


def test_evaluator_remote_group():
    other, member = policy.Group("other", "SV2"), policy.Server("m", "SV2")
    policy.Port("p", member, "A", "br1", "02:00:00:00:00:01", ["10.0.0.1"], pairs=["10.0.0.2/32"])
    assert not one([rule(remote_group=other)], servers=[member])
    member.groups = [other]
    assert one([rule(remote_group=other)], servers=[member])
    assert not one([rule(remote_group=other)], remote="10.0.0.2", servers=[member])
