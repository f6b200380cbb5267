/// The release, as `weir --version` and the debug endpoint print it.
package let weirVersion = "0.1.0"
