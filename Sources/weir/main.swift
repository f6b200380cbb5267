import Glibc

// Nothing here but the call: closures at this level would belong to the main actor.
exit(runWeir())
