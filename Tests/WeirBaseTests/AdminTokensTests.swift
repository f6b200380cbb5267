import Testing
import WeirBase

@Suite("Tokens of the debug endpoint")
struct AdminTokensTests {
    @Test("one on a line, with or without a name; comments and empty lines are passed over")
    func reading() {
        let tokens = AdminTokens.read(Array("# who may\n\nalice  s3cret\r\nplain\n  \nto many words\n".utf8))
        #expect(tokens.map(\.name) == ["alice", "token"])
        #expect(tokens[0].matches(Array("s3cret".utf8)) && tokens[1].matches(Array("plain".utf8)))
    }

    @Test("only the whole token matches", arguments: ["", "s", "s3cre", "s3cretx", "s3creT", "s3crets3cret", "alice"])
    func matching(_ presented: String) {
        let tokens = AdminTokens.read(Array("alice s3cret".utf8))
        #expect(tokens.count == 1 && !tokens[0].matches(Array(presented.utf8)))
    }

    @Test("an empty file lets nobody in")
    func empty() {
        #expect(AdminTokens.read([]).isEmpty && AdminTokens.read(Array("\n \n#\n".utf8)).isEmpty)
    }
}
