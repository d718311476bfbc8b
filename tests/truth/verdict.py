"""What the rules say: the contract's section 3 as a naive evaluator, knowing nothing of flows.

A policy here is plain data: groups with rules in the API's own form (but `remote_group` holds a Group), servers with groups
and ports.  Everything is looked at rule by rule; nothing is sorted, merged or cached.
"""

TCP, UDP, SCTP, ICMP, ICMPV6 = 6, 17, 132, 1, 58
WITH_PORTS = (TCP, UDP, SCTP)
NUMBERS = {"tcp": TCP, "udp": UDP, "sctp": SCTP, "icmp": ICMP, "icmpv6": ICMPV6}


def group_addresses(group, servers):
    """The addresses of the ports of the group's members: a set of ip_address objects.  Allowed pairs are not among them."""
    return {ip for server in servers if group in server.groups for port in server.ports for ip in port.ips}


def matches(rule, remote, protocol, port, icmp_type, icmp_code, servers):
    """Whether a rule speaks of a connection with `remote` (an ip_address); `port` is the connection's destination port."""
    wanted = rule["protocol"]
    if wanted != "any":
        number = NUMBERS.get(wanted, wanted)
        if number != protocol:
            return False
        # Each ICMP belongs to one family.
        if number == ICMP and remote.version != 4 or number == ICMPV6 and remote.version != 6:
            return False
    if rule.get("remote_ip") is not None:
        network = rule["remote_ip"]
        if network.version != remote.version or remote not in network:
            return False
    if rule.get("remote_group") is not None and remote not in group_addresses(rule["remote_group"], servers):
        return False
    if rule.get("port_min", -1) >= 0 and not rule["port_min"] <= port <= rule["port_max"]:
        return False
    if rule.get("icmp_type", -1) >= 0 and rule["icmp_type"] != icmp_type:
        return False
    if rule.get("icmp_code", -1) >= 0 and rule["icmp_code"] != icmp_code:
        return False
    return True


def allows(server, direction, remote, protocol, port, icmp_type, icmp_code, servers):
    """The verdict of one server's groups: the lowest priority number that matches decides, deny wins among equals, and
    no match is deny."""
    best = None
    for group in server.groups:
        for rule in group.rules:
            if rule["direction"] != direction:
                continue
            if not matches(rule, remote, protocol, port, icmp_type, icmp_code, servers):
                continue
            standing = (rule.get("priority", 100), rule.get("action", "allow") != "deny")
            if best is None or standing < best:
                best = standing
    return best is not None and best[1]


def connection_allowed(probe, servers):
    """Whether the connection that `probe` opens may live: the sender's outbound and the receiver's inbound verdict.  An end
    without a server (the outside) has no rules."""
    what = (probe.protocol, probe.dport, probe.icmp_type, probe.icmp_code, servers)
    sender, receiver = probe.source.server, probe.target.server
    return ((sender is None or allows(sender, "outbound", probe.target_ip, *what)) and
            (receiver is None or allows(receiver, "inbound", probe.source_ip, *what)))


def sender_allows(probe, servers):
    sender = probe.source.server
    return sender is None or allows(sender, "outbound", probe.target_ip, probe.protocol, probe.dport, probe.icmp_type,
                                    probe.icmp_code, servers)
