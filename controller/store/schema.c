#include "controller/store/schema.h"

#define DEFERRED " DEFERRABLE INITIALLY DEFERRED"
#define U32 "BETWEEN 1 AND 4294967295"
#define U31 "BETWEEN 1 AND 2147483647"

static const char version_1[] =
    "CREATE TABLE counters ("
    " id INTEGER PRIMARY KEY CHECK (id = 1),"
    " revision INTEGER NOT NULL CHECK (revision >= 0),"
    " next_region INTEGER NOT NULL CHECK (next_region " U32 "),"
    " next_set INTEGER NOT NULL CHECK (next_set " U32 "),"
    " next_slot INTEGER NOT NULL CHECK (next_slot " U32 "),"
    " next_mark INTEGER NOT NULL CHECK (next_mark " U32 "),"
    " next_zone INTEGER NOT NULL CHECK (next_zone BETWEEN 1 AND 65535)"
    ") STRICT;"
    "INSERT INTO counters VALUES (1, 0, 1, 1, 1, 1, 1);"

    "CREATE TABLE region ("
    " name TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),"
    " number INTEGER NOT NULL UNIQUE CHECK (number " U32 "),"
    " default_group TEXT,"
    " created_at INTEGER NOT NULL,"
    " FOREIGN KEY (default_group, name) REFERENCES security_group (id, region)" DEFERRED
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE security_group ("
    " id TEXT PRIMARY KEY CHECK (length(id) = 36),"
    " region TEXT NOT NULL REFERENCES region" DEFERRED ","
    " name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 255),"
    " description TEXT NOT NULL,"
    " revision INTEGER NOT NULL CHECK (revision >= 0),"
    " created_at INTEGER NOT NULL,"
    " updated_at INTEGER NOT NULL,"
    " UNIQUE (id, region)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX security_group_region ON security_group (region);"

    /* In the order in which they are read: a million rules by their ids would be a million jumps. */
    "CREATE TABLE rule ("
    " id TEXT NOT NULL UNIQUE CHECK (length(id) = 36),"
    " security_group TEXT NOT NULL REFERENCES security_group" DEFERRED ","
    " position INTEGER NOT NULL,"
    " direction TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound')),"
    " action TEXT NOT NULL CHECK (action IN ('allow', 'deny')),"
    " priority INTEGER NOT NULL CHECK (priority BETWEEN 1 AND 1000),"
    " protocol INTEGER NOT NULL CHECK (protocol BETWEEN -1 AND 255),"
    " remote_ip TEXT,"
    " remote_group TEXT REFERENCES security_group" DEFERRED ","
    " port_min INTEGER NOT NULL CHECK (port_min BETWEEN -1 AND 65535),"
    " port_max INTEGER NOT NULL CHECK (port_max BETWEEN -1 AND 65535),"
    " icmp_type INTEGER NOT NULL CHECK (icmp_type BETWEEN -1 AND 255),"
    " icmp_code INTEGER NOT NULL CHECK (icmp_code BETWEEN -1 AND 255),"
    " description TEXT NOT NULL,"
    " origin TEXT NOT NULL CHECK (origin IN ('user', 'default')),"
    " created_at INTEGER NOT NULL,"
    " updated_at INTEGER NOT NULL,"
    " PRIMARY KEY (security_group, position),"
    " CHECK (remote_ip IS NULL OR remote_group IS NULL),"
    " CHECK (port_min <= port_max AND (port_min = -1) = (port_max = -1)),"
    " CHECK (port_min = -1 OR protocol IN (6, 17, 132)),"
    " CHECK (icmp_type = -1 OR protocol IN (1, 58)),"
    " CHECK (icmp_code = -1 OR icmp_type <> -1)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX rule_remote_group ON rule (remote_group) WHERE remote_group IS NOT NULL;"

    "CREATE TABLE bridge ("
    " dpid TEXT PRIMARY KEY CHECK (length(dpid) = 16),"
    " created_at INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE bridge_uplink ("
    " bridge TEXT NOT NULL REFERENCES bridge" DEFERRED ","
    " position INTEGER NOT NULL,"
    " name TEXT NOT NULL CHECK (length(name) > 0),"
    " PRIMARY KEY (bridge, position)"
    ") STRICT, WITHOUT ROWID;"

    "CREATE TABLE rule_set ("
    " number INTEGER PRIMARY KEY CHECK (number " U32 "),"
    " region TEXT NOT NULL REFERENCES region" DEFERRED ","
    " version INTEGER NOT NULL CHECK (version BETWEEN 0 AND 4294967295)"
    ") STRICT;"
    "CREATE INDEX rule_set_region ON rule_set (region);"
    "CREATE TABLE rule_set_group ("
    " rule_set INTEGER NOT NULL REFERENCES rule_set" DEFERRED ","
    " security_group TEXT NOT NULL REFERENCES security_group" DEFERRED ","
    " PRIMARY KEY (rule_set, security_group)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX rule_set_group_security_group ON rule_set_group (security_group);"
    "CREATE TABLE admission ("
    " rule_set INTEGER NOT NULL REFERENCES rule_set" DEFERRED ","
    " rule TEXT NOT NULL REFERENCES rule (id)" DEFERRED ","
    " slot INTEGER NOT NULL UNIQUE CHECK (slot " U31 "),"
    " mark INTEGER NOT NULL CHECK (mark BETWEEN 0 AND 2147483647),"
    " PRIMARY KEY (rule_set, rule)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX admission_rule ON admission (rule);"

    "CREATE TABLE server ("
    " id TEXT PRIMARY KEY CHECK (length(id) = 36),"
    " region TEXT NOT NULL REFERENCES region" DEFERRED ","
    " name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 255),"
    " kind TEXT NOT NULL CHECK (kind IN ('vps', 'baremetal')),"
    " rule_set INTEGER REFERENCES rule_set" DEFERRED ","
    " created_at INTEGER NOT NULL,"
    " updated_at INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX server_region ON server (region);"
    "CREATE INDEX server_rule_set ON server (rule_set) WHERE rule_set IS NOT NULL;"
    "CREATE TABLE server_group ("
    " server TEXT NOT NULL REFERENCES server" DEFERRED ","
    " position INTEGER NOT NULL,"
    " security_group TEXT NOT NULL REFERENCES security_group" DEFERRED ","
    " PRIMARY KEY (server, position)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE UNIQUE INDEX server_group_security_group ON server_group (security_group, server);"

    "CREATE TABLE port ("
    " id TEXT NOT NULL UNIQUE CHECK (length(id) = 36),"
    " server TEXT NOT NULL REFERENCES server" DEFERRED ","
    " position INTEGER NOT NULL,"
    " mac TEXT NOT NULL CHECK (length(mac) = 17),"
    " bridge TEXT REFERENCES bridge" DEFERRED ","
    " name TEXT,"
    " iface_id TEXT,"
    " vlan INTEGER NOT NULL CHECK (vlan BETWEEN 0 AND 4094),"
    " port_security INTEGER NOT NULL CHECK (port_security IN (0, 1)),"
    " zone INTEGER NOT NULL CHECK (zone BETWEEN 1 AND 65535),"
    " PRIMARY KEY (server, position),"
    " CHECK ((bridge IS NULL) = (name IS NULL))"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX port_bridge ON port (bridge) WHERE bridge IS NOT NULL;"
    "CREATE TABLE port_ip ("
    " port TEXT NOT NULL REFERENCES port (id)" DEFERRED ","
    " position INTEGER NOT NULL,"
    " ip TEXT NOT NULL,"
    " PRIMARY KEY (port, position)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE port_pair ("
    " port TEXT NOT NULL REFERENCES port (id)" DEFERRED ","
    " position INTEGER NOT NULL,"
    " ip TEXT NOT NULL,"
    " mac TEXT NOT NULL CHECK (length(mac) = 17),"
    " PRIMARY KEY (port, position)"
    ") STRICT, WITHOUT ROWID;";

/* The history.  Objects lie with their change, in the order in which they are read. */
static const char version_2[] =
    "CREATE TABLE change ("
    " revision INTEGER PRIMARY KEY CHECK (revision >= 1),"
    " at INTEGER NOT NULL,"
    " who TEXT,"
    " what TEXT NOT NULL,"
    " method TEXT NOT NULL,"
    " path TEXT NOT NULL,"
    " role TEXT NOT NULL,"
    " undoes INTEGER CHECK (undoes BETWEEN 1 AND revision - 1),"
    " whole INTEGER NOT NULL CHECK (whole IN (0, 1))"
    ") STRICT;"
    "CREATE TABLE change_object ("
    " change INTEGER NOT NULL REFERENCES change" DEFERRED ","
    " position INTEGER NOT NULL,"
    " kind TEXT NOT NULL,"
    " id TEXT NOT NULL,"
    " region TEXT,"
    " difference TEXT NOT NULL,"
    " PRIMARY KEY (change, position)"
    ") STRICT, WITHOUT ROWID;";

/* Changes that are taken back unless somebody confirms them. */
static const char version_3[] =
    "CREATE TABLE trial ("
    " change INTEGER PRIMARY KEY REFERENCES change" DEFERRED ","
    " confirm_by INTEGER NOT NULL,"
    " state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 4),"
    " reason TEXT"
    ") STRICT;";

/* What is reported in a region that was there before stays as it was: nothing. */
static const char version_4[] =
    "ALTER TABLE region ADD COLUMN report_blocked INTEGER NOT NULL DEFAULT 0 CHECK (report_blocked IN (0, 1));";

/* How often rules hit: the counts of each switch's flows as they were told last, and their sums by rule. */
static const char version_5[] =
    "CREATE TABLE counting ("
    " id INTEGER PRIMARY KEY CHECK (id = 1),"
    " since INTEGER NOT NULL"
    ") STRICT;"
    "INSERT INTO counting VALUES (1, unixepoch() * 1000000);"
    "CREATE TABLE flow_count ("
    " bridge TEXT NOT NULL CHECK (length(bridge) = 16)," /* May stay a little longer than the bridge does. */
    " id INTEGER NOT NULL CHECK (id " U32 "),"
    " slot INTEGER NOT NULL CHECK (slot " U31 "),"
    " name INTEGER NOT NULL,"
    " absent INTEGER NOT NULL CHECK (absent IN (0, 1)),"
    " packets INTEGER NOT NULL CHECK (packets >= 0),"
    " bytes INTEGER NOT NULL CHECK (bytes >= 0),"
    " PRIMARY KEY (bridge, id)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE rule_count ("
    " rule TEXT PRIMARY KEY REFERENCES rule (id)" DEFERRED ","
    " packets INTEGER NOT NULL CHECK (packets >= 0),"
    " bytes INTEGER NOT NULL CHECK (bytes >= 0),"
    " first_hit INTEGER NOT NULL,"
    " last_hit INTEGER NOT NULL"
    ") STRICT, WITHOUT ROWID;";

static const char *const migrations[] = {
    version_1,
    version_2,
    version_3,
    version_4,
    version_5,
};

const struct sp_database_schema sp_store_schema = {
    .application_id = 0x53414c59, /* "SALY". */
    .migrations = migrations,
    .n_migrations = sizeof migrations / sizeof migrations[0],
};
