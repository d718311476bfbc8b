"""Flow tables, executed for all packets of a class at once.

A packet is a dictionary from field to value: an int where it is known, else a term of the solver.  Executing a table gives a
Result: under which conditions the packet comes to each event, and under which it may not come to it.  Both are kept, as where
several flows of one priority match, OpenFlow leaves it open which one is taken: 'may' and 'may not' are then both possible,
and a proof must hold whichever the switch takes.

What is modelled (ovs-actions(7), ovs-fields(7)):
 - the flow with the highest priority that matches; a table without one ends the processing, a resubmit to it does nothing;
 - goto_table and resubmit; what a resubmitted table has changed stays changed;
 - ct(): the packet forks; the copy goes to the given table with ct_state, ct_zone, ct_mark and the connection's original tuple,
   which are symbols of that zone; the original goes on without any of these.  A commit sets ct_mark for the copy.
 - output; the port of entry is left out by the switch, which the caller must see to.
What is not modelled is refused: flowtext.Unknown.

Events, keys of Result.outs:
 ("out", port, vlan_tci)      leaves by a port with this tag (0 = none);
 ("arrive", key)              comes to a table of 'cuts', where the execution ends, in a state that 'arrivals' has under the key;
 ("at", table, value)         comes to that table in any such state; 'value' is that of the field that 'cuts' names, or None.
Result.marks says under which conditions a connection is committed with which mark."""

import z3

from flowtext import CT_BITS, WIDTHS, Unknown, full

MISS = object()
CT_FIELDS = ("ct_zone", "ct_mark", "ct_nw_src", "ct_nw_dst", "ct_ipv6_src", "ct_ipv6_dst", "ct_nw_proto", "ct_tp_src", "ct_tp_dst",
             *("ct_" + bit for bit in CT_BITS))


# Conditions: True, False, a Bool of the solver, or a Condition.

class Condition:
    """A conjunction, disjunction or negation that becomes a term of the solver only when that is asked for."""

    __slots__ = ("make", "parts", "opposite", "made")

    def __init__(self, make, parts):
        self.make, self.parts, self.opposite, self.made = make, parts, None, None

    def term(self):
        """Bottom up and without recursion, as conditions are as deep as a table has priorities."""
        waiting = [self]
        while waiting:
            node = waiting[-1]
            missing = [part for part in node.parts if isinstance(part, Condition) and part.made is None]
            if missing:
                waiting += missing
                continue
            waiting.pop()
            if node.made is None:
                node.made = _join(node.make, [part.made if isinstance(part, Condition) else part for part in node.parts])
        return self.made


def _make_not(context, _, terms):
    return z3.Z3_mk_not(context, terms[0])


def _join(make, conditions):
    """What z3.And and z3.Or do, but for their looking at every argument for what it could be made of."""
    terms = (z3.Ast * len(conditions))()
    for i, condition in enumerate(conditions):
        terms[i] = condition.ast
    context = z3.main_ctx()
    return z3.BoolRef(make(context.ref(), len(conditions), terms), context)


def both(a, b):
    if a is False or b is False:
        return False
    if a is True:
        return b
    return a if b is True else Condition(z3.Z3_mk_and, (a, b))


def all_of(conditions):
    found = []
    for condition in conditions:
        if condition is False:
            return False
        if condition is not True:
            found.append(condition)
    if not found:
        return True
    return found[0] if len(found) == 1 else Condition(z3.Z3_mk_and, tuple(found))


def either(conditions):
    found = []
    for condition in conditions:
        if condition is True:
            return True
        if condition is not False:
            found.append(condition)
    if not found:
        return False
    return found[0] if len(found) == 1 else Condition(z3.Z3_mk_or, tuple(found))


def negate(a):
    if isinstance(a, bool):
        return not a
    if not isinstance(a, Condition):
        return Condition(_make_not, (a,))
    if a.opposite is None:
        a.opposite = a.parts[0] if a.make is _make_not else Condition(_make_not, (a,))
    return a.opposite


def term(condition):
    """The solver's term."""
    if isinstance(condition, bool):
        return z3.BoolVal(condition)
    return condition.term() if isinstance(condition, Condition) else condition


class Result:
    """'outs': {event: (may, may not)}; 'marks': {mark: condition}; 'ends': [(condition, {field: value written})]."""

    def __init__(self, outs, marks, ends):
        self.outs, self.marks, self.ends = outs, marks, ends


NOTHING = {}
INDEXED = {"dl_type", "nw_proto", "in_port", "ct_nw_proto", "ct_zone", *(f"reg{i}" for i in range(16))}


def _gather_marks(parts):
    marks = {}
    for condition, result in parts:
        for mark, when in result.marks.items():
            marks.setdefault(mark, []).append(both(condition, when))
    return {mark: either(conditions) for mark, conditions in marks.items()}


def _alternatives(parts):
    """The outs of one of several alternatives, [(condition, Result)]."""
    by_outs = {}
    for condition, result in parts:
        by_outs.setdefault(id(result.outs), (result.outs, []))[1].append(condition)
    groups = [(outs, either(conditions)) for outs, conditions in by_outs.values()]
    if len(groups) == 1 and (groups[0][1] is True or not groups[0][0]):
        return groups[0][0]
    events = {event for outs, _ in groups for event in outs}
    found = {}
    for event in events:
        pairs = [(condition, outs.get(event, (False, True))) for outs, condition in groups]
        found[event] = (either(both(condition, may) for condition, (may, _) in pairs),
                        either(both(condition, may_not) for condition, (_, may_not) in pairs))
    return found or NOTHING


def _sequence(first, rest):
    """The outs of something and of what follows it, the latter given as alternatives."""
    if not first:
        return rest
    if not rest:
        return first
    found = dict(first)
    for event, (may, may_not) in rest.items():
        earlier = found.get(event, (False, True))
        found[event] = (either((earlier[0], may)), both(earlier[1], may_not))
    return found


class Packets:
    """The terms of a class of packets; makes the terms of conntrack's zones."""

    def __init__(self, name):
        self.name = name
        self.fields = {}    # Field -> value, as the packet enters.
        self.excluded = {}  # Field -> values that the class does not have, where the field is a term.
        self.tuple = {}     # ct field -> int or None: what is known of every connection of the class's packets.
        self.related = None  # Whether conntrack takes the packets for errors about another connection.
        self.asked_marks = {}  # Number of a ct_mark's term -> the values that flows have compared it with.
        self._sliced, self._matched, self._equal, self._symbols = {}, {}, {}, {}

    def symbol(self, name, width=0):
        """A Bool, or a bit vector of 'width'."""
        key = (name, width)
        if key not in self._symbols:
            self._symbols[key] = z3.BitVec(name, width) if width else z3.Bool(name)
        return self._symbols[key]

    def interned(self, value):
        """Keeps a term, so that its number stays its own."""
        return self._symbols.setdefault(("kept", value.get_id()), value)

    def slice(self, value, first, width):
        if isinstance(value, int):
            return value >> first & ((1 << width) - 1)
        if first == 0 and width == value.size():
            return value
        key = (value.get_id(), first, width)
        if key not in self._sliced:
            part = z3.simplify(z3.Extract(first + width - 1, first, value))
            self._sliced[key] = (value, part.as_long() if z3.is_bv_value(part) else part)
        return self._sliced[key][1]

    def replace(self, value, total, first, width, part):
        """'value' of 'total' bits with 'part' in place of 'width' bits from 'first' on."""
        if first == 0 and width == total:
            return part
        if isinstance(value, int) and isinstance(part, int):
            mask = ((1 << width) - 1) << first
            return value & ~mask | part << first
        pieces = []
        if first + width < total:
            pieces.append((self.slice(value, first + width, total - first - width), total - first - width))
        pieces.append((part, width))
        if first:
            pieces.append((self.slice(value, 0, first), first))
        terms = [z3.BitVecVal(piece, bits) if isinstance(piece, int) else piece for piece, bits in pieces]
        key = ("concat", *(term.get_id() for term in terms))
        if key not in self._sliced:
            whole = z3.simplify(z3.Concat(*terms))
            self._sliced[key] = (terms, whole.as_long() if z3.is_bv_value(whole) else whole)
        return self._sliced[key][1]

    def equals(self, value, wanted):
        """'value' is 'wanted', both numbers or the former a term."""
        if isinstance(value, int):
            return value == wanted
        key = (value.get_id(), wanted)
        if key not in self._equal:
            self._equal[key] = (value, value == wanted)
        return self._equal[key][1]

    def matches(self, field, value, wanted, mask):
        """The condition under which 'value' has 'wanted' in the bits of 'mask'."""
        if isinstance(value, int):
            return value & mask == wanted
        if mask == full(field) and wanted in self.excluded.get(field, ()):
            return False
        key = (value.get_id(), wanted, mask)
        if key not in self._matched:
            if field == "ct_mark":
                if mask != full(field):
                    raise Unknown("a part of ct_mark")
                self.asked_marks.setdefault(value.get_id(), set()).add(wanted)
            low, n = (mask & -mask).bit_length() - 1, bin(mask).count("1")
            if mask == 0:
                condition = True
            elif mask >> low == (1 << n) - 1:
                condition = self.equals(self.slice(value, low, n), wanted >> low)
            else:
                condition = value & mask == wanted
            self._matched[key] = (value, condition)
        return self._matched[key][1]


class Switch:
    """The flows of one bridge."""

    def __init__(self, flows):
        self.tables = {}
        for flow in flows:
            self.tables.setdefault(flow.table, {}).setdefault(flow.priority, []).append(flow)
        self.tables = {table: sorted(by_priority.items(), reverse=True) for table, by_priority in self.tables.items()}
        self.exact = {table: self._exact_fields(priorities) for table, priorities in self.tables.items()}
        self._candidates = {}
        self._read = {}

    @staticmethod
    def _exact_fields(priorities):
        """The fields that many flows of a table match without a mask, by which candidates are found."""
        count = {}
        for _, flows in priorities:
            for flow in flows:
                for field, (_, mask) in flow.match.items():
                    if field in INDEXED and mask == full(field):
                        count[field] = count.get(field, 0) + 1
        return tuple(sorted(field for field, n in count.items() if n >= 12))

    def candidates(self, table, values):
        """The flows that may match a packet with 'values' (None: unknown) in the table's exact fields, each with what is left to
        be looked at: [(priority, [(flow, [(field, value and mask)])])]."""
        key = (table, values)
        if key not in self._candidates:
            known = {field: value for field, value in zip(self.exact[table], values) if value is not None}
            found = []
            for priority, flows in self.tables[table]:
                left = []
                for flow in flows:
                    masks = ((value, flow.match[field]) for field, value in known.items() if field in flow.match)
                    if all(value & mask == wanted for value, (wanted, mask) in masks):
                        left.append((flow, [item for item in flow.match.items() if item[0] not in known]))
                if left:
                    found.append((priority, left))
            self._candidates[key] = found
        return self._candidates[key]

    def matters(self, table):
        """The fields that a packet's way from 'table' on can depend on, but for what conntrack will say."""
        if not self._read:
            self._trace_reads()
        return self._read.get(table, frozenset())

    def _trace_reads(self):
        own, next_plain, next_ct = {}, {}, {}
        for table, priorities in self.tables.items():
            own[table], next_plain[table], next_ct[table] = set(), set(), set()
            for _, flows in priorities:
                for flow in flows:
                    own[table].update(flow.match)
                    self._reads_of(flow.actions, own[table], next_plain[table], next_ct[table])
        reads = {table: set(fields) for table, fields in own.items()}
        changed = True
        while changed:
            changed = False
            for table in reads:
                before = len(reads[table])
                for other in next_plain[table]:
                    reads[table] |= reads.get(other, set())
                for other in next_ct[table]:
                    reads[table] |= {field for field in reads.get(other, ()) if not field.startswith("ct_")}
                changed |= len(reads[table]) != before
        self._read = {table: frozenset(fields) for table, fields in reads.items()}

    @staticmethod
    def _reads_of(actions, own, plain, tracked):
        for action in actions:
            if action.kind in ("goto_table", "resubmit"):
                plain.add(action.arguments[0])
            elif action.kind == "ct":
                _, table, zone, executed = action.arguments
                if table is not None:
                    tracked.add(table)
                if not isinstance(zone, int):
                    own.add(zone.field)
                own.update(step.arguments[0].field for step in executed if step.kind == "move")
            elif action.kind in ("push_vlan", "pop_vlan"):
                own.add("vlan_tci")
            elif action.kind == "move":
                own.add(action.arguments[0].field)
                own.update(("vlan_tci",) if action.arguments[1].field == "vlan_tci" else ())
            elif action.kind == "load":  # A part of a register: the rest of it stays.
                own.add(action.arguments[1].field)
            elif action.kind == "output":
                own.add("vlan_tci")
                if not isinstance(action.arguments[0], int):
                    own.add(action.arguments[0].field)


class _Frame:
    """A table that is being executed: the packet, what it has written, and what it has read of what it was given."""

    def __init__(self, packet):
        self.packet, self.written, self.reads = packet, {}, {}

    def read(self, field):
        if field not in self.packet:
            raise Unknown(f"{field} of a packet that has none")
        value = self.packet[field]
        if field not in self.written:
            self.reads[field] = value
        return value

    def write(self, field, value):
        self.packet = {**self.packet, field: value}
        self.written = {**self.written, field: value}


def _token(value):
    """What a value is known by; a term keeps its own."""
    if isinstance(value, int):
        return value
    try:
        return value.token
    except AttributeError:
        value.token = ("term", value.get_id())
        return value.token


class Executor:
    """Executes the flows of 'switch' for 'packets'.  'leaving' says in which direction the packets are tracked.  With
    'strangers' what comes out of conntrack is not the packet that went in, but one with any zone, and any mark behind a commit."""

    def __init__(self, switch, packets, strangers=False):
        self.switch, self.packets, self._strangers = switch, packets, strangers
        self._running = set()
        self.zones = {}  # (zone, leaving) -> the Results of what follows its lookups.
        self._known, self._states = {}, {}
        self._mode, self._cuts = None, {}
        self.arrivals = {}  # Key of an arrival -> packet.

    def start(self, in_port, tci):
        """A packet as it enters the switch."""
        packet = {field: 0 for field in WIDTHS if field.startswith("reg")}
        packet.update(self.packets.fields)
        packet.update({field: 0 for field in CT_FIELDS if not field[3:] in CT_BITS})
        packet.update({"ct_" + bit: False for bit in CT_BITS})
        packet.update(in_port=in_port, vlan_tci=tci)
        return packet

    def run(self, table, packet, cuts=(), leaving=False):
        self._mode = (frozenset(dict(cuts).items()), leaving)
        self._cuts = dict(cuts)
        return self._table(table, packet, _Frame(packet), False, at_start=True)

    # Tables.

    def _table(self, table, packet, caller, wants_ends, at_start=False):
        """Executes a table on 'packet' in the frame of its caller, which takes note of what it has read."""
        cut = not at_start and table in self._cuts
        if cut:
            result, reads = self._arrive(table, packet, wants_ends)
        else:
            result, reads = self._memoized(table, packet, wants_ends)
        for field, value in reads.items():
            if field not in caller.written:
                caller.reads[field] = value
        return result

    def _arrive(self, table, packet, wants_ends):
        """Ends the way of a packet at a cut; what the table does to the packet of its caller is still found out."""
        matters = sorted(self.switch.matters(table))
        reads = {name: packet[name] for field in matters for name in self._names(field) if name in packet}
        key = (table, tuple((field, _token(value)) for field, value in sorted(reads.items())))
        self.arrivals.setdefault(key, packet)
        label = self._cuts[table]
        outs = {("arrive", key): (True, False), ("at", table, label and packet[label]): (True, False)}
        ends = [(True, {})]
        if wants_ends:
            inner, more = self._memoized(table, packet, True)
            ends, reads = inner.ends, {**reads, **more}
        return Result(outs, {}, ends), reads

    @staticmethod
    def _names(field):
        """The packet's names for a field: ct_state is kept bit by bit, the wide registers in words."""
        if field == "ct_state":
            return tuple("ct_" + bit for bit in CT_BITS)
        if field.startswith("xxreg"):
            first = 4 * int(field[5:])
            return tuple(f"reg{first + i}" for i in range(4))
        return (field,)

    def _memoized(self, table, packet, wants_ends):
        known = self._known.setdefault((table, wants_ends, self._mode), {})
        for fields, results in known.items():
            found = results.get(tuple(_token(packet[field]) for field in fields))
            if found:
                return found
        state = (table, wants_ends, tuple(_token(value) for value in packet.values()))
        if state in self._running:
            raise Unknown(f"a loop by way of table {table}")
        self._running.add(state)
        frame = _Frame(packet)
        try:
            result = self._choose(table, frame, wants_ends)
        finally:
            self._running.remove(state)
        fields = tuple(sorted(frame.reads))
        found = (result, frame.reads)
        known.setdefault(fields, {})[tuple(_token(frame.reads[field]) for field in fields)] = found
        return found

    def _choose(self, table, frame, wants_ends):
        """The flows that may be taken, each with its condition."""
        parts, none_higher = [], True
        exact = [frame.read(field) if field in frame.packet else None for field in self.switch.exact.get(table, ())]
        values = tuple(value if isinstance(value, int) else None for value in exact)
        for _, flows in self.switch.candidates(table, values) if table in self.switch.tables else ():
            matching = []
            for flow, match in flows:
                condition = self._matches(match, frame)
                if condition is not False:
                    matching.append(condition)
                    taken = both(none_higher, condition)
                    parts.append((taken, self._actions(flow.actions, 0, frame, wants_ends)))
            if matching:
                none_higher = both(none_higher, negate(either(matching)))
                if none_higher is False:
                    break
        if none_higher is not False:
            parts.append((none_higher, Result(NOTHING, {}, [(True, {})])))
        return self._combine(parts, wants_ends)

    @staticmethod
    def _combine(parts, wants_ends):
        if len(parts) == 1 and parts[0][0] is True:
            return parts[0][1]
        ends = {}
        if wants_ends:
            for condition, result in parts:
                for when, written in result.ends:
                    key = tuple(sorted((field, _token(value)) for field, value in written.items()))
                    ends.setdefault(key, (written, []))[1].append(both(condition, when))
        return Result(_alternatives(parts), _gather_marks(parts), [(either(when), written) for written, when in ends.values()])

    def _matches(self, match, frame):
        found = []
        for field, (wanted, mask) in match:
            if field == "ct_state":
                condition = self._ct_state(frame, wanted, mask)
            else:
                condition = self.packets.matches(field, frame.read(field), wanted, mask)
            if condition is False:
                return False
            if condition is not True:
                found.append(condition)
        return all_of(found)

    def _ct_state(self, frame, wanted, mask):
        bits = tuple((frame.read("ct_" + bit), wanted >> position & 1) for bit, position in CT_BITS.items()
                     if mask >> position & 1)
        key = tuple((_token(value), sense) for value, sense in bits)
        if key not in self._states:
            self._states[key] = (bits, all_of(value if sense else negate(value) for value, sense in bits))
        return self._states[key][1]

    # Actions.

    def _actions(self, actions, at, frame, wants_ends):
        """Executes the actions from the one at 'at' on, with a frame of their own."""
        own = _Frame(frame.packet)
        own.written = dict(frame.written)
        result = self._steps(actions, at, own, wants_ends)
        for field, value in own.reads.items():
            frame.reads.setdefault(field, value)
        return result

    def _steps(self, actions, at, frame, wants_ends):
        outs, marks = NOTHING, {}
        for i in range(at, len(actions)):
            action = actions[i]
            last = i == len(actions) - 1
            if action.kind in ("drop", "learn", "controller"):  # Whom the controller is told of is nobody's packet.
                continue
            if action.kind == "meter":  # It may drop: only where the packet drops anyway.
                if any(rest.kind not in ("drop", "controller") for rest in actions[i + 1:]):
                    raise Unknown("a meter before something that passes")
                continue
            if action.kind == "output":
                outs = _sequence(outs, self._output(action, frame))
            elif action.kind == "ct":
                forked = self._ct(action, frame)
                outs, marks = _sequence(outs, forked.outs), _gather_marks([(True, Result(NOTHING, marks, [])), (True, forked)])
            elif action.kind in ("goto_table", "resubmit"):
                inner = self._table(action.arguments[0], frame.packet, frame, wants_ends or not last)
                outs = _sequence(outs, inner.outs)
                marks = _gather_marks([(True, Result(NOTHING, marks, [])), (True, inner)]) if marks else inner.marks
                if last:
                    ends = [(when, {**frame.written, **written}) for when, written in inner.ends] if wants_ends else []
                    return Result(outs, marks, ends)
                return self._go_on(actions, i + 1, frame, inner, outs, marks, wants_ends)
            else:
                self._set(action, frame)
        return Result(outs, marks, [(True, frame.written)] if wants_ends else [])

    def _go_on(self, actions, at, frame, inner, outs, marks, wants_ends):
        """The actions behind a resubmit, for each of the packets that it may leave."""
        parts = []
        for when, written in inner.ends:
            after = _Frame({**frame.packet, **written})
            after.written = {**frame.written, **written}
            parts.append((when, self._steps(actions, at, after, wants_ends)))
            for field, value in after.reads.items():
                frame.reads.setdefault(field, value)
        rest = self._combine(parts, wants_ends)
        return Result(_sequence(outs, rest.outs), _gather_marks([(True, Result(NOTHING, marks, [])), (True, rest)]), rest.ends)

    def _output(self, action, frame):
        port = action.arguments[0]
        if not isinstance(port, int):
            port = self._get(port, frame)
            if not isinstance(port, int):
                raise Unknown("output to a port that depends on the packet")
        for field in self.packets.fields:
            if frame.packet[field] is not self.packets.fields[field] and frame.packet[field] != self.packets.fields[field]:
                raise Unknown(f"a packet leaves with another {field} than it came with")
        tci = frame.read("vlan_tci")
        return {("out", port, tci if isinstance(tci, int) else str(tci)): (True, False)}

    def _get(self, part, frame):
        if part.field.startswith("xxreg"):
            raise Unknown(f"reading {part.field}")
        return self.packets.slice(frame.read(part.field), part.first, part.width)

    def _put(self, part, value, frame):
        """Stores in a slice; the wide registers have their first word in their highest bits."""
        if not part.field.startswith("xxreg"):
            total = WIDTHS[part.field]
            old = 0 if part.width == total else frame.read(part.field)
            frame.write(part.field, self.packets.replace(old, total, part.first, part.width, value))
            return
        first = 4 * int(part.field[5:])
        for word in range(4):
            low = 32 * (3 - word)  # The bits of the wide register that this word has.
            begin, end = max(low, part.first), min(low + 32, part.first + part.width)
            if begin < end:
                field = f"reg{first + word}"
                old = 0 if end - begin == 32 else frame.read(field)
                piece = self.packets.slice(value, begin - part.first, end - begin)
                frame.write(field, self.packets.replace(old, 32, begin - low, end - begin, piece))

    def _set(self, action, frame):
        if action.kind == "load":
            value, part = action.arguments
            self._put(part, value, frame)
        elif action.kind == "move":
            source, part = action.arguments
            self._put(part, self._get(source, frame), frame)
        elif action.kind == "pop_vlan":
            frame.write("vlan_tci", 0)
        elif action.kind == "push_vlan":
            tci = frame.read("vlan_tci")
            if not isinstance(tci, int) or tci:
                raise Unknown("a second VLAN tag")
            frame.write("vlan_tci", 0x1000)
        else:
            raise Unknown(f"action {action.kind}")

    def _ct(self, action, frame):
        """The copy that goes through conntrack; the packet itself loses what conntrack said before."""
        commit, table, zone_part, executed = action.arguments
        zone = zone_part if isinstance(zone_part, int) else self._get(zone_part, frame)
        if not isinstance(zone, int):
            raise Unknown("a zone that depends on the packet")
        tracked = self.connection(zone, self._mode[1])
        if self._strangers:
            tracked = {**tracked, "ct_zone": self.packets.symbol("stranger.zone", 16)}
        marks = {}
        if commit:
            for step in executed:
                part = step.arguments[1]
                if part.field != "ct_mark" or part.width != 32 or step.kind not in ("move", "load"):
                    raise Unknown(f"ct(exec({step}))")
                mark = step.arguments[0] if step.kind == "load" else self._get(step.arguments[0], frame)
                if not isinstance(mark, int):
                    raise Unknown("a mark that depends on the packet")
                tracked = tracked if self._strangers else {**tracked, "ct_mark": mark}
                marks[mark] = True
        result = Result(NOTHING, marks, [])
        if table is not None:
            copy = _Frame(frame.packet)
            copy.written = dict(frame.written)
            for field, value in tracked.items():
                copy.write(field, value)
            inner = self._table(table, copy.packet, copy, False)
            for field, value in copy.reads.items():
                if field not in CT_FIELDS:
                    frame.reads.setdefault(field, value)
            result = Result(inner.outs, _gather_marks([(True, result), (True, inner)]), [])
            if not commit:
                self.zones.setdefault((zone, self._mode[1]), []).append(inner)
        for field in CT_FIELDS:
            frame.write(field, False if field[3:] in CT_BITS else 0)
        return result

    def connection(self, zone, leaving):
        """What conntrack says in 'zone' of a packet that is leaving the zone's port, or entering it.  'outbound' is whether
        the connection was opened from the port; the packet answers it if it goes the other way."""
        packets = self.packets
        outbound = packets.symbol(f"z{zone}.outbound")
        found = {
            "ct_zone": zone, "ct_mark": packets.symbol(f"z{zone}.mark", 32), "ct_new": packets.symbol(f"z{zone}.new"),
            "ct_est": packets.symbol(f"z{zone}.est"), "ct_inv": packets.symbol(f"z{zone}.inv"),
            "ct_trk": packets.symbol(f"z{zone}.trk"), "ct_rel": bool(packets.related),
            "ct_rpl": z3.Not(outbound) if leaving else outbound,
        }
        for field in CT_FIELDS:
            if field in packets.tuple:
                known = packets.tuple[field]
                found[field] = packets.symbol(f"z{zone}.{field}", WIDTHS[field]) if known is None else known
            elif field not in found:
                found[field] = 0
        found["ct_rpl"] = packets.interned(found["ct_rpl"])
        return found
