import CLMDB
import Glibc

/// What went wrong with the store, in words for an operator.
package struct StoreError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Kind: String, Hashable, Sendable, CaseIterable {
        /// The folder or the file cannot be opened or made.
        case open
        /// The disk does not take what is written.
        case write
        /// `max_size`, or the disk itself, is exhausted.
        case full
        /// The file's content contradicts itself or its checksums.
        case damaged
        /// It is no store of this program, or of another format.
        case foreign
        /// Another process has it open for writing.
        case locked
        /// A record is encrypted with a key that is not at hand, or cannot be encrypted.
        case key
    }

    package let kind: Kind
    package let description: String

    package init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }

    init(lmdb code: CInt, _ operation: String) {
        let kind: Kind =
            switch code {
            case MDB_MAP_FULL, MDB_TXN_FULL, ENOSPC, EDQUOT: .full
            case MDB_INVALID, MDB_VERSION_MISMATCH: .foreign
            case MDB_PAGE_NOTFOUND, MDB_CORRUPTED, MDB_PANIC, MDB_BAD_VALSIZE: .damaged
            case EROFS, EACCES, ENOENT, ENOTDIR, EPERM: .open
            default: .write
            }
        let text = unsafe mdb_strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
        self.init(kind, "\(operation): \(text)")
    }

    init(system code: CInt, _ operation: String) {
        let text = unsafe strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
        self.init(code == ENOSPC || code == EDQUOT ? .full : .open, "\(operation): \(text)")
    }
}
