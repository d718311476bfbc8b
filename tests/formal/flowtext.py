"""What `ovs-ofctl --no-names --no-stats dump-flows` prints, read into Flow objects.  Source: ovs-fields(7), ovs-actions(7).

Whatever is not known here is an error: a match or an action that were skipped would make the proof one of other flows."""

import ipaddress
import re
from collections import namedtuple

Flow = namedtuple("Flow", "table priority cookie match actions text")  # match: {field: (value, mask)}
Act = namedtuple("Act", "kind arguments")
Slice = namedtuple("Slice", "field first width")  # 'width' bits of a field from bit 'first' on.

WIDTHS = {
    "in_port": 16, "vlan_tci": 16, "dl_src": 48, "dl_dst": 48, "dl_type": 16, "nw_src": 32, "nw_dst": 32, "ipv6_src": 128,
    "ipv6_dst": 128, "nw_proto": 8, "nw_ttl": 8, "nw_frag": 2, "tp_src": 16, "tp_dst": 16, "icmp_type": 8, "icmp_code": 8,
    "arp_op": 16, "arp_spa": 32, "arp_tpa": 32, "arp_sha": 48, "arp_tha": 48, "nd_target": 128, "nd_sll": 48, "nd_tll": 48,
    "ct_state": 6, "ct_zone": 16, "ct_mark": 32, "ct_nw_src": 32, "ct_nw_dst": 32, "ct_ipv6_src": 128, "ct_ipv6_dst": 128,
    "ct_nw_proto": 8, "ct_tp_src": 16, "ct_tp_dst": 16,
    **{f"reg{i}": 32 for i in range(16)},
}
CT_BITS = {"new": 0, "est": 1, "rel": 2, "rpl": 3, "inv": 4, "trk": 5}
IPV4, IPV6, ARP = 0x0800, 0x86dd, 0x0806
SHORT = {"ip": (IPV4, None), "ipv6": (IPV6, None), "arp": (ARP, None), "icmp": (IPV4, 1), "icmp6": (IPV6, 58), "tcp": (IPV4, 6),
         "tcp6": (IPV6, 6), "udp": (IPV4, 17), "udp6": (IPV6, 17), "sctp": (IPV4, 132), "sctp6": (IPV6, 132)}
FRAG_ANY, FRAG_LATER = 1, 2
FRAGS = {"no": (0, 3), "yes": (1, 1), "first": (1, 3), "later": (2, 2), "not_later": (0, 2)}
NXM = {"NXM_OF_ETH_SRC": "dl_src", "NXM_OF_VLAN_TCI": "vlan_tci", "NXM_OF_ARP_SPA": "arp_spa", "NXM_OF_ARP_TPA": "arp_tpa",
       "NXM_NX_ARP_SHA": "arp_sha", "NXM_OF_IP_SRC": "nw_src", "NXM_NX_IPV6_SRC": "ipv6_src", "NXM_NX_ND_TARGET": "nd_target", "NXM_NX_ND_SLL": "nd_sll",
       "NXM_NX_ND_TLL": "nd_tll", "NXM_NX_CT_MARK": "ct_mark"}
# May be pushed.  A move of these is one only for packets with some states.
PUSHED = {"NXM_NX_CT_NW_SRC": "ct_nw_src", "NXM_NX_CT_NW_DST": "ct_nw_dst", "NXM_NX_CT_IPV6_SRC": "ct_ipv6_src",
          "NXM_NX_CT_IPV6_DST": "ct_ipv6_dst"}


class Unknown(Exception):
    """A part of a flow that this reader does not understand."""


def full(field):
    return (1 << WIDTHS[field]) - 1


def _number(text):
    if re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", text):
        return int(text.replace(":", ""), 16)
    if ":" in text or text.count(".") == 3:
        return int(ipaddress.ip_address(text))
    return int(text, 0)


def _masked(field, text):
    """'value' or 'value/mask' or 'address/prefix'."""
    value, _, mask = text.partition("/")
    if not mask:
        return _number(value), full(field)
    if mask.isdigit() and field.endswith(("nw_src", "nw_dst", "ipv6_src", "ipv6_dst", "_spa", "_tpa", "nd_target")):
        width = WIDTHS[field]
        return _number(value), full(field) ^ ((1 << (width - int(mask))) - 1)
    return _number(value), _number(mask)


def _ct_state(text):
    value = mask = 0
    for sign, name in re.findall(r"([+-])([a-z]+)", text):
        if name not in CT_BITS:
            raise Unknown(f"ct_state {name}")
        mask |= 1 << CT_BITS[name]
        value |= (sign == "+") << CT_BITS[name]
    return value, mask


def _match(text):
    match = {}
    for item in text.split(","):
        name, has_value, value = item.partition("=")
        if not has_value:
            if name not in SHORT:
                raise Unknown(f"match {item}")
            eth_type, proto = SHORT[name]
            match["dl_type"] = (eth_type, 0xffff)
            if proto is not None:
                match["nw_proto"] = (proto, 0xff)
        elif name == "dl_vlan":
            match["vlan_tci"] = (0x1000 | _number(value), 0x1fff)
        elif name == "nw_frag":
            match[name] = FRAGS[value]
        elif name == "ct_state":
            match[name] = _ct_state(value)
        elif name in WIDTHS:
            match[name] = _masked(name, value)
        else:
            raise Unknown(f"match {item}")
    # What others depend on first: a flow of another protocol is out before its ports are looked at.
    return dict(sorted(match.items(), key=lambda item: (item[0] not in ("dl_type", "nw_proto"), not item[0].startswith("reg"))))


def _slice(text, names=NXM):
    """'NAME[first..last]', 'NAME[]' or a name of ovs-fields(7)."""
    found = re.fullmatch(r"(\w+)(?:\[(?:(\d+)(?:\.\.(\d+))?)?\])?", text)
    if not found:
        raise Unknown(f"field {text}")
    name, first, last = found.groups()
    xxreg = re.fullmatch(r"NXM_NX_XXREG(\d)|xxreg(\d)", name)
    reg = re.fullmatch(r"NXM_NX_REG(\d+)|reg(\d+)", name)
    if xxreg:
        field, width = "xxreg" + (xxreg.group(1) or xxreg.group(2)), 128
    else:
        field = "reg" + (reg.group(1) or reg.group(2)) if reg else names.get(name, name)
        if field not in WIDTHS:
            raise Unknown(f"field {text}")
        width = WIDTHS[field]
    if first is None:
        return Slice(field, 0, width)
    return Slice(field, int(first), int(last or first) - int(first) + 1)


def _split(text):
    """The items of a list whose commas within parentheses do not count."""
    items, depth, item = [], 0, ""
    for c in text:
        depth += (c == "(") - (c == ")")
        if c == "," and not depth:
            items.append(item)
            item = ""
        else:
            item += c
    return items + [item]


def _ct(text):
    commit, table, zone, executed = False, None, None, []
    for item in _split(text):
        name, _, value = item.partition("=")
        if item == "commit":
            commit = True
        elif name == "table":
            table = int(value)
        elif name == "zone":
            zone = _slice(value) if "[" in value else int(value, 0)
        elif item.startswith("exec("):
            executed = [_action(action) for action in _split(item[5:-1])]
        else:
            raise Unknown(f"ct({text})")
    return Act("ct", (commit, table, zone, executed))


def _action(text):
    found = re.fullmatch(r"(goto_table|resubmit|output|push_vlan|load|set_field|move|push|pop):?(.*)", text)
    if text in ("drop", "pop_vlan"):
        return Act(text, ())
    if text.startswith("ct("):
        return _ct(text[3:-1])
    if text.startswith("learn("):  # Changes flows for later packets; nothing about this one.
        return Act("learn", ())
    if re.fullmatch(r"meter:\d+|controller\(.*\)", text):
        return Act(re.split("[:(]", text)[0], ())
    if not found:
        raise Unknown(f"action {text}")
    kind, rest = found.groups()
    if kind == "goto_table":
        return Act(kind, (int(rest),))
    if kind == "resubmit":
        table = re.fullmatch(r"\(,(\d+)\)", rest)
        if not table:
            raise Unknown(f"action {text}")
        return Act(kind, (int(table.group(1)),))
    if kind == "output":
        return Act(kind, (_slice(rest) if "[" in rest else int(rest),))
    if kind == "push_vlan":
        return Act(kind, ())
    if kind in ("push", "pop"):
        return Act(kind, (_slice(rest, PUSHED if kind == "push" else NXM),))
    source, _, target = rest.partition("->")
    if kind == "move":
        return Act(kind, (_slice(source), _slice(target)))
    if "/" in source:
        raise Unknown(f"action {text}")
    return Act("load", (_number(source), _slice(target)))


def _copies(actions):
    """A push that is popped at once is a move, which no packet's state keeps from being one; there is no other."""
    rest, pushed = [], None
    for action in actions:
        if (pushed is not None) != (action.kind == "pop"):
            raise Unknown("a stack of more than one thing, for one action")
        if action.kind == "push":
            pushed = action.arguments[0]
        elif action.kind == "pop":
            rest.append(Act("move", (pushed, action.arguments[0])))
            pushed = None
        else:
            rest.append(action)
    if pushed is not None:
        raise Unknown("a push without a pop")
    return rest


def read(text):
    """The Flows of a dump."""
    flows = []
    for line in text.splitlines():
        line = line.strip()
        if "actions=" not in line:
            if line and "_FLOW" not in line and "OFPST" not in line:
                raise Unknown(line)
            continue
        head, actions = line.split("actions=", 1)
        head = head.strip().rstrip(",")
        table, priority, cookie, rest = 0, 32768, 0, []
        for item in re.split(r", ?|(?<=send_flow_rem) ", head):
            name, _, value = item.partition("=")
            if name == "table":
                table = int(value)
            elif name == "priority":
                priority = int(value)
            elif name == "cookie":
                cookie = int(value, 0)
            elif re.fullmatch(r"(idle|hard)_timeout|send_flow_rem|importance", name):
                continue
            elif item:
                rest.append(item)
        try:
            flows.append(Flow(table, priority, cookie, _match(",".join(rest)) if rest else {},
                              _copies([_action(action) for action in _split(actions.strip())]), line))
        except Unknown as error:
            raise Unknown(f"{error} in: {line}") from None
    return flows
