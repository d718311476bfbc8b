#include "controller/api/route.h"

/* The file as it lies beside this one, in the binary. */
#define OPENAPI "controller/api/openapi.json"
extern const char sp_openapi_begin[] __attribute__((visibility("hidden")));
extern const char sp_openapi_end[] __attribute__((visibility("hidden")));
__asm__(".pushsection .rodata.sp_openapi, \"a\"\n"
        ".globl sp_openapi_begin, sp_openapi_end\n"
        ".hidden sp_openapi_begin, sp_openapi_end\n"
        "sp_openapi_begin: .incbin \"" OPENAPI "\"\n"
        "sp_openapi_end: .byte 0\n"
        ".popsection");

void
sp_read_openapi(struct sp_call *call)
{
    size_t size = (uintptr_t) sp_openapi_end - (uintptr_t) sp_openapi_begin;
    sp_call_text(call, "application/json", sp_openapi_begin, size);
}
