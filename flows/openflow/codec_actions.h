/* The action half of the codec: operations of a flow to libopenvswitch's "ofpacts" and back.  Private to flows/openflow/. */

#ifndef SALLYPORT_FLOWS_OPENFLOW_CODEC_ACTIONS_H
#define SALLYPORT_FLOWS_OPENFLOW_CODEC_ACTIONS_H 1

#include "sallyport/flow.h"

struct mf_field;
struct ofpact;
struct ofpbuf;

/* libopenvswitch's field for 'field', or NULL if 'field' is none. */
const struct mf_field *sp_codec_field(uint8_t field);
/* Our field for libopenvswitch's, or SP_N_FIELDS if there is none. */
enum sp_field sp_codec_field_from(const struct mf_field *);

/* Appends the operations 'actions' ('size' bytes in the form of enum sp_op) to 'ofpacts'.  Returns false if there is one that
 * OpenFlow cannot express, such as a load into a field that is read-only. */
bool sp_codec_actions_encode(const uint8_t *actions, size_t size, struct ofpbuf *ofpacts) SP_MUST_USE;

/* Appends 'ofpacts' ('size' bytes) to 'build' as operations.  Returns false if there is one that has no operation. */
bool sp_codec_actions_decode(const struct ofpact *ofpacts, size_t size, struct sp_flow_build *build) SP_MUST_USE;

#endif
