/* Between flows as values and OpenFlow messages: the only door to libopenvswitch's flow encoding.
 *
 * Guard against silent widening: libopenvswitch drops a match whose prerequisite is missing without a word, and the flow
 * gets broader.  sp_codec_check() encodes and decodes a flow and compares; the tests run it on every flow that the
 * compiler makes. */

#ifndef SALLYPORT_FLOWS_OPENFLOW_CODEC_H
#define SALLYPORT_FLOWS_OPENFLOW_CODEC_H 1

#include "flows/table.h"

struct ofpbuf;
struct ofputil_flow_stats;

/* OpenFlow wire versions that Sallyport speaks. */
#define SP_OF14 0x05
#define SP_OF15 0x06

/* Encodes 'mod' as an OFPT_FLOW_MOD of 'version'.  An addition sets cookie and actions, and OFPFF_SEND_FLOW_REM where
 * sp_flow_is_counted(); a deletion is strict and limited to
 * cookies of SP_COOKIE_OWNER.  Returns a new message with its length set that the caller owns, or NULL if the flow has
 * a field or an operation that cannot be encoded.  Source: OpenFlow 1.4 section 7.3.4.1. */
struct ofpbuf *sp_codec_flow_mod(const struct sp_flow_mod *mod, uint8_t version) SP_MUST_USE;

/* Turns a flow from a statistics reply into a value: '*ret' gets one reference; alien if it has anything unknown here, a
 * timeout, or other flags than ours would have.  Returns 0 or -ENOMEM. */
int sp_codec_flow_from_stats(const struct ofputil_flow_stats *, struct sp_flow **ret) SP_MUST_USE;

/* Encodes 'flow', decodes the message and compares.  Returns 0, SP_E_INVALID if they differ, or -ENOMEM. */
int sp_codec_check(const struct sp_flow *flow, uint8_t version) SP_MUST_USE;

#endif
