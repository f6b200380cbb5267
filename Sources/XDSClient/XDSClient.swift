import WeirLoop
public import WeirXDS

/// A client of an xDS control plane: it subscribes to resources, is told what changes, and acknowledges or rejects what
/// comes.
///
/// The client connects by itself when something is subscribed to, comes back with exponential back-off after a failure,
/// moves to the next server of its list while the first is away, and resumes where it left off: what it holds is not sent
/// again by a server that knows. It is the same protocol engine and the same connection handling that weir's relay uses
/// towards its control planes.
///
/// ## Threads
///
/// Each client has one thread of its own. Handlers are called on it, one at a time, and must not block for long: while one
/// runs, nothing is read or acknowledged. All methods may be called from any thread, handlers included.
public final class XDSClient: Sendable {
    /// Commands that may wait for the client's thread.
    private static let commandsMax = 65_536

    private let mailbox = Mailbox<ClientCommand>(capacity: XDSClient.commandsMax)
    private let thread: WorkerThread

    /// Makes a client and starts its thread; it connects with the first subscription.
    ///
    /// - Parameters:
    ///   - configuration: where to connect, and as whom.
    ///   - validate: looks at each resource before it is taken. What it throws for one resource becomes the reason of a
    ///     NACK: the other resources of the response are taken, and of the bad one the last good version stays. Without
    ///     it every response that the protocol allows is acknowledged.
    ///   - onEvent: told what happens.
    /// - Throws: ``XDSClientError`` if the configuration cannot be used.
    public init(
        _ configuration: Configuration,
        validate: (@Sendable (XDSResource) throws(Rejection) -> Void)? = nil,
        onEvent: @escaping @Sendable (Event) -> Void
    ) throws(XDSClientError) {
        let settings = try configuration.settings
        _ = try configuration.missingAfterSpan
        let mailbox = self.mailbox
        self.thread = WorkerThread(name: "xds-client") {
            // Signals are the business of the program that the client is a part of.
            Signals.blockAll()
            ClientCore(configuration, settings, validate: validate, onEvent: onEvent).run(mailbox)
        }
    }

    deinit { self.mailbox.close(after: .close) }

    /// Subscribes to resources of a type by name. Names that are subscribed to already change nothing.
    ///
    /// - Returns: false if it was not taken: too many commands wait for the client's thread, or it is closed.
    @discardableResult
    public func subscribe(to type: XDSType, names: [String]) -> Bool {
        self.mailbox.post(.interest(type, wildcard: nil, added: names, removed: []))
    }

    /// Subscribes to all resources of a type that the control plane has for this node: the wildcard.
    ///
    /// - Returns: false if it was not taken: too many commands wait for the client's thread, or it is closed.
    @discardableResult
    public func subscribeToAll(of type: XDSType) -> Bool {
        self.mailbox.post(.interest(type, wildcard: true, added: [], removed: []))
    }

    /// Gives subscriptions by name up. What was held of them is forgotten without an event.
    ///
    /// - Returns: false if it was not taken: too many commands wait for the client's thread, or it is closed.
    @discardableResult
    public func unsubscribe(from type: XDSType, names: [String]) -> Bool {
        self.mailbox.post(.interest(type, wildcard: nil, added: [], removed: names))
    }

    /// Gives the wildcard subscription of a type up. Names that are subscribed to stay.
    ///
    /// - Returns: false if it was not taken: too many commands wait for the client's thread, or it is closed.
    @discardableResult
    public func unsubscribeFromAll(of type: XDSType) -> Bool {
        self.mailbox.post(.interest(type, wildcard: false, added: [], removed: []))
    }

    /// Ends the streams and connections, and waits for the client's thread; then no handler runs any more. From within a
    /// handler it does not wait. A second call does nothing.
    public func close() {
        self.mailbox.close(after: .close)
        self.thread.join()
    }
}

/// What goes through a client's mailbox.
enum ClientCommand: Sendable {
    case interest(XDSType, wildcard: Bool?, added: [String], removed: [String])
    case close
}
