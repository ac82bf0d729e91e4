// The loops for any processor.
#include "table.h"

#define CK_TABLE ck_portable
#include "loops.h"
