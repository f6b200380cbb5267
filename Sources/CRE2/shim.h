/* RE2 is C++: CWeirRE2 includes its header; this target only carries the link flags. */
