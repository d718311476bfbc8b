/* One bridge as the engine sees it: what we want there, what is confirmed there, and how the one becomes the other.
 *
 * A switch object exists for each adopted bridge, connected or not, and for each other bridge that is connected.  It holds the
 * bridge's desired flows by unit and, while connected, the installed table.  The sequence after a connect: handshake,
 * ports, dump; the engine then marks every unit, and the switch brings the difference over in checked bundles.  A refused
 * modification poisons its unit: the unit's last good flows stay, the rest of the batch is tried again without it, and
 * the unit is tried again when it changes, on a reconnect and every 30 s.
 *
 * Place in the arrow: engine.c decides which units change (from the model); switch.c compiles nothing and knows no model. */

#ifndef SALLYPORT_CONTROLLER_SWITCH_H
#define SALLYPORT_CONTROLLER_SWITCH_H 1

#include "flows/table.h"

/* A unit's name: its kind and up to 24 bytes of key, compared byte by byte (so zero-fill). */
enum sp_unit_kind {
    SP_UNIT_STATIC,
    SP_UNIT_UPLINKS,
    SP_UNIT_PORT,        /* key: port id */
    SP_UNIT_MAC,         /* key: VLAN, MAC */
    SP_UNIT_TARGET,      /* key: VLAN, family, address */
    SP_UNIT_FLOOD_VLAN,  /* key: VLAN */
    SP_UNIT_FLOOD_CHUNK, /* key: VLAN, chunk */
    SP_UNIT_REMOTE,      /* key: region number, family, address */
    SP_UNIT_RULE_SET,    /* key: number */
};
struct sp_unit_name {
    uint8_t kind;
    uint8_t key[24];
};

#endif
