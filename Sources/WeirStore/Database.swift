import CLMDB
import Glibc

/// One LMDB file: ordered bytes by bytes, changed in transactions that are there whole or not at all, whatever happens to
/// the process. Confined to one thread. No pointer into the file leaves a transaction.
@safe final class Database {
    private let env: OpaquePointer
    private var dbi: MDB_dbi = 0
    private let mapSize: Int

    /// - Parameters:
    ///   - path: the file itself; LMDB keeps its lock in a file beside it.
    ///   - mapSize: the most bytes that the file may have.
    init(path: String, mapSize: Int, isReadOnly: Bool) throws(StoreError) {
        var env: OpaquePointer?
        let code = unsafe mdb_env_create(&env)
        guard code == 0, let env = unsafe env else { throw StoreError(lmdb: code, "open \(path)") }
        unsafe self.env = env
        self.mapSize = mapSize
        do throws(StoreError) {
            unsafe try Self.check(mdb_env_set_mapsize(env, mapSize), "open \(path)")
            unsafe try Self.open(env, path, isReadOnly)
            let transaction = unsafe try Transaction(env, isReadOnly: isReadOnly)
            var dbi: MDB_dbi = 0
            unsafe try Self.check(mdb_dbi_open(transaction.raw, nil, 0, &dbi), "open \(path)")
            try transaction.commit()
            self.dbi = dbi
        } catch {
            unsafe mdb_env_close(env)
            throw error
        }
    }

    private static func open(_ env: OpaquePointer, _ path: String, _ isReadOnly: Bool) throws(StoreError) {
        var flags = UInt32(MDB_NOSUBDIR) | UInt32(MDB_NOTLS)
        guard isReadOnly else { return unsafe try self.check(mdb_env_open(env, path, flags, 0o600), "open \(path)") }
        flags |= UInt32(MDB_RDONLY)
        let code = unsafe mdb_env_open(env, path, flags, 0o600)
        // Readers lock, too, in a file beside it. Where that cannot be written, nobody else writes either.
        if code == EACCES || code == EROFS || code == EPERM {
            flags |= UInt32(MDB_NOLOCK)
            return unsafe try self.check(mdb_env_open(env, path, flags, 0o600), "open \(path)")
        }
        try self.check(code, "open \(path)")
    }

    /// No transaction is open.
    func close() { unsafe mdb_env_close(self.env) }

    static func check(_ code: CInt, _ operation: String) throws(StoreError) {
        guard code == 0 else { throw StoreError(lmdb: code, operation) }
    }

    func read<Result>(_ body: (Transaction) throws(StoreError) -> Result) throws(StoreError) -> Result {
        let transaction = unsafe try Transaction(self.env, isReadOnly: true)
        transaction.dbi = self.dbi
        defer { transaction.abort() }
        return try body(transaction)
    }

    /// What `body` does is done when this returns, and nothing of it if it throws.
    func write<Result>(_ body: (Transaction) throws(StoreError) -> Result) throws(StoreError) -> Result {
        let transaction = unsafe try Transaction(self.env, isReadOnly: false)
        transaction.dbi = self.dbi
        defer { transaction.abort() }
        let result = try body(transaction)
        try transaction.commit()
        return result
    }

    /// Begins a transaction for writing, looks at everything that it would need, and takes it back.
    func tryToWrite(_ key: [UInt8], _ value: [UInt8]) throws(StoreError) {
        let transaction = unsafe try Transaction(self.env, isReadOnly: false)
        transaction.dbi = self.dbi
        defer { transaction.abort() }
        try transaction.put(key, value)
        try transaction.delete(key)
    }

    /// Lets the file grow by `bytes` beyond its bound, to make room in it; back to the bound with 0.
    func allowBeyondBound(_ bytes: Int) { unsafe _ = mdb_env_set_mapsize(self.env, self.mapSize + bytes) }

    /// Bytes of the pages in use.
    var bytes: Int {
        var stat = MDB_stat()
        guard unsafe mdb_env_stat(self.env, &stat) == 0 else { return 0 }
        return (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) * Int(stat.ms_psize)
    }
}

/// What one transaction sees and does. Dead after `commit` or `abort`.
@safe final class Transaction {
    fileprivate let raw: OpaquePointer
    fileprivate var dbi: MDB_dbi = 0
    private var isOver = false

    fileprivate init(_ env: OpaquePointer, isReadOnly: Bool) throws(StoreError) {
        var raw: OpaquePointer?
        let code = unsafe mdb_txn_begin(env, nil, isReadOnly ? UInt32(MDB_RDONLY) : 0, &raw)
        guard code == 0, let raw = unsafe raw else { throw StoreError(lmdb: code, "begin a transaction") }
        unsafe self.raw = raw
    }

    fileprivate func commit() throws(StoreError) {
        self.isOver = true
        unsafe try Database.check(mdb_txn_commit(self.raw), "commit")
    }

    fileprivate func abort() {
        guard !self.isOver else { return }
        self.isOver = true
        unsafe mdb_txn_abort(self.raw)
    }

    /// LMDB takes keys and values as pointers that it does not keep.
    private func withValue<Result>(_ bytes: [UInt8], _ body: (inout MDB_val) -> Result) -> Result {
        var bytes = bytes
        return unsafe bytes.withUnsafeMutableBytes { buffer in
            var value = unsafe MDB_val(mv_size: buffer.count, mv_data: buffer.baseAddress)
            return unsafe body(&value)
        }
    }

    private static func copy(_ value: MDB_val) -> [UInt8] {
        unsafe Array(UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size))
    }

    /// A copy of the value; nil if there is none.
    func get(_ key: [UInt8]) throws(StoreError) -> [UInt8]? {
        var found: [UInt8]?
        let code = unsafe self.withValue(key) { key in
            var value = unsafe MDB_val()
            let code = unsafe mdb_get(self.raw, self.dbi, &key, &value)
            if code == 0 { found = unsafe Self.copy(value) }
            return code
        }
        if code == MDB_NOTFOUND { return nil }
        try Database.check(code, "read")
        return found
    }

    func put(_ key: [UInt8], _ value: [UInt8]) throws(StoreError) {
        let code = unsafe self.withValue(key) { key in
            unsafe self.withValue(value) { value in unsafe mdb_put(self.raw, self.dbi, &key, &value, 0) }
        }
        try Database.check(code, "write")
    }

    func delete(_ key: [UInt8]) throws(StoreError) {
        let code = unsafe self.withValue(key) { key in unsafe mdb_del(self.raw, self.dbi, &key, nil) }
        if code == MDB_NOTFOUND { return }
        try Database.check(code, "delete")
    }

    /// Whether there is anything at all.
    func hasAny() throws(StoreError) -> Bool {
        var stat = MDB_stat()
        unsafe try Database.check(mdb_stat(self.raw, self.dbi, &stat), "read")
        return stat.ms_entries > 0
    }

    /// Copies of all keys that begin with `prefix` and their values, in order. The transaction is not to be changed
    /// meanwhile.
    func each(_ prefix: [UInt8], _ body: ([UInt8], [UInt8]) throws(StoreError) -> Void) throws(StoreError) {
        var cursor: OpaquePointer?
        unsafe try Database.check(mdb_cursor_open(self.raw, self.dbi, &cursor), "read")
        guard let cursor = unsafe cursor else { return }
        defer { unsafe mdb_cursor_close(cursor) }
        // An empty prefix is all there is.
        var operation = prefix.isEmpty ? MDB_FIRST : MDB_SET_RANGE
        var start = prefix
        while true {
            var key: [UInt8] = []
            var value: [UInt8] = []
            let code = unsafe self.withValue(start) { position in
                var found = unsafe MDB_val()
                let code = unsafe mdb_cursor_get(cursor, &position, &found, operation)
                if code == 0 {
                    key = unsafe Self.copy(position)
                    value = unsafe Self.copy(found)
                }
                return code
            }
            if code == MDB_NOTFOUND { return }
            try Database.check(code, "read")
            guard key.starts(with: prefix) else { return }
            try body(key, value)
            operation = MDB_NEXT
            start = []
        }
    }
}
