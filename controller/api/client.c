#include "controller/api/route.h"

void
sp_read_client(struct sp_call *call)
{
    char address[SP_CIDR_TEXT_SIZE];
    struct sp_json_write *out = sp_json_write_new(false);
    sp_json_object_open(out);
    sp_json_text(out, "address", sp_http_client(call->request, address, sizeof address) ? address : NULL);
    sp_json_object_close(out);
    sp_call_json(call, 200, out, NULL, 0);
}
