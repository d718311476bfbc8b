/* OpenFlow messages out of a stream of bytes, however it is cut.
 *
 * Each message is copied once into memory that is aligned for libopenvswitch (the stream gives misaligned ones after
 * odd lengths).  The memory is bounded by OpenFlow's own length of 16 bits and given back when no part of a message waits. */

#ifndef SALLYPORT_FLOWS_OPENFLOW_FRAME_H
#define SALLYPORT_FLOWS_OPENFLOW_FRAME_H 1

#include "sallyport/value.h"

struct sp_frame {
    uint8_t *bytes;  /* The message, aligned to 8 bytes; valid until the next sp_frame_feed(). */
    size_t size;     /* Bytes of it that are there. */
    size_t capacity;
    bool complete;
};

void sp_frame_init(struct sp_frame *);
void sp_frame_clear(struct sp_frame *);

/* Takes bytes from '*data' ('*size' of them), moving both on, until one message is complete.  Returns 0 with the message in
 * 'bytes' and 'size', -EAGAIN if all bytes are taken and more are needed, SP_E_SYNTAX if the header claims less than its own
 * 8 bytes, or -ENOMEM.  Source: OpenFlow 1.4 section 7.1.1. */
int sp_frame_feed(struct sp_frame *, const uint8_t **data, size_t *size) SP_MUST_USE;

#endif
