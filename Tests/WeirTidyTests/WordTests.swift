import Testing

/// A word that the product does not use, why, and where it may stand all the same.
private struct Banned {
    let word: String
    let reason: String
    /// File by reason.
    var exceptions: [String: String] = [:]
    /// Modules where the word is at home.
    var modules: Set<String> = []
}

private let banned: [Banned] = [
    Banned(word: "Foundation", reason: "it is large, and what it does here, smaller things do"),
    Banned(word: "Dispatch", reason: "threads are WeirLoop's workers, which own their loops"),
    Banned(word: "Task", reason: "concurrency is one loop for each worker and messages between them"),
    Banned(word: "async", reason: "concurrency is one loop for each worker and messages between them"),
    Banned(word: "await", reason: "concurrency is one loop for each worker and messages between them"),
    Banned(word: "try!", reason: "no input may end the process"),
    Banned(word: "as!", reason: "no input may end the process"),
    Banned(word: "fatalError", reason: "no input may end the process; for our own mistakes there is precondition"),
    Banned(
        word: "@unchecked", reason: "what crosses threads is checked by the compiler",
        exceptions: [
            "Sources/WeirLoop/Threads/Locked.swift": "the one place; a mutex guards the value",
            "Sources/WeirServer/Worker/LargeWork.swift":
                "a group that is handed to a thread and back; mailboxes and a mutex order what the two do",
        ]),
    Banned(
        word: "nonisolated(unsafe)", reason: "what crosses threads is checked by the compiler",
        exceptions: [
            "Sources/WeirRegex/Pattern.swift": "a compiled RE2, which is constant and thread-safe",
            "Sources/WeirProtobuf/DescriptorSet.swift": "a descriptor pool, which is constant once it is built",
        ]),
    Banned(word: "print", reason: "what the relay has to say goes through its log", modules: ["weir"]),
    Banned(word: "TODO", reason: "what is open stands in the documents, or is done"),
    Banned(word: "FIXME", reason: "what is open stands in the documents, or is done"),
]

extension StringProtocol {
    /// Whether the word stands here, with no letter, digit or underscore at either side.
    fileprivate func hasWord(_ word: String) -> Bool {
        self.ranges(of: word).contains { range in
            let isWordBefore = self[..<range.lowerBound].last.map(isWordCharacter) ?? false
            let isWordAfter = self[range.upperBound...].first.map(isWordCharacter) ?? false
            return !isWordBefore && !isWordAfter
        }
    }
}

private func isWordCharacter(_ character: Character) -> Bool {
    character.isLetter || character.isNumber || character == "_"
}

/// A comment may speak of a word that code may not use; it may not leave work behind.
private func code(_ line: Substring) -> Substring {
    line.drop { $0 == " " }.hasPrefix("//") ? "" : line
}

/// Lines of a file that use a word.
private func uses(_ ban: Banned, in file: SourceFile) -> [Int] {
    let isNote = ["TODO", "FIXME"].contains(ban.word)
    return file.lines.indices.filter { (isNote ? file.lines[$0] : code(file.lines[$0])).hasWord(ban.word) }
}

@Suite("Words and sizes")
struct WordTests {
    @Test("words that the product does without", arguments: banned.indices)
    func words(_ index: Int) {
        let ban = banned[index]
        for file in productFiles where ban.exceptions[file.path] == nil && !ban.modules.contains(file.module) {
            for line in uses(ban, in: file) {
                Issue.record("\(file.path):\(line + 1): \"\(ban.word)\": \(ban.reason)")
            }
        }
    }

    @Test("no exception outlives its use", arguments: banned.indices)
    func exceptions(_ index: Int) {
        for path in banned[index].exceptions.keys {
            let file = productFiles.first { $0.path == path }
            #expect(file.map { !uses(banned[index], in: $0).isEmpty } == true, "\(path), \(banned[index].word)")
        }
    }

    @Test("the search finds words, not parts of words")
    func search() {
        #expect("let x = try! f()".hasWord("try!") && "try! f()".hasWord("try!"))
        #expect(!"fingerprint(x)".hasWord("print") && "print(x)".hasWord("print"))
        #expect(!"multitasking Tasks".hasWord("Task") && "nonisolated(unsafe) let".hasWord("nonisolated(unsafe)"))
    }

    @Test("a file has one idea: none is longer than 600 lines", arguments: sourceFiles)
    func size(_ file: SourceFile) {
        #expect(file.lines.count <= 600)
    }
}
