/* The ports that no rule of a list names, as few blocks.
 *
 * The ports are seen as 256 equal blocks, which are told apart by SP_UNNAMED_BITS bits.  Those of which no rule names a port are
 * covered by as few aligned blocks of any size as can be.  See "Ports that no rule names" in sallyport/pipeline.h for what they
 * are good for.
 *
 * How many.  A few ranges leave some ten blocks; rules that name ports everywhere would leave up to 128.  Of these only the
 * SP_UNNAMED_LARGEST largest are taken: a port that is in none is judged by the rules, so that nothing is lost but speed.
 *
 * How long.  Where all blocks are looked for, the longest ones first, what has been looked at in the end is what the longest
 * have.  For that to be the same in every list, one block is halved, and one of its halves again, until one has
 * SP_UNNAMED_BITS bits. */

#ifndef SALLYPORT_FLOWS_UNNAMED_H
#define SALLYPORT_FLOWS_UNNAMED_H 1

#include "flows/named.h"
#include "flows/range.h"

#define SP_UNNAMED_BITS 8u /* The most that a block looks at. */
#define SP_UNNAMED_LARGEST 32u
#define SP_UNNAMED_MAX (SP_UNNAMED_LARGEST + SP_UNNAMED_BITS - 1)

/* Stores in 'ret_masks' disjoint blocks of 1 to SP_UNNAMED_BITS bits that hold no port that is named, and returns their number,
 * 0 to SP_UNNAMED_MAX.  There are none if no port is named: then no port is looked at either. */
size_t sp_unnamed_ports(const struct sp_named_ports *, struct sp_port_mask ret_masks[SP_UNNAMED_MAX]);

#endif
