//! The tokio runtime in whose context handlers run.
//!
//! A shard's thread enters the context once, when it starts, and stays in it: calls have no cost
//! for it. The runtime drives sockets and timers of handlers on a thread of its own and runs the
//! tasks that they spawn; handlers themselves stay on their shard. Without the feature `tokio`
//! there is no runtime.
//!
//! It deliberately lacks a setting. A program that needs another runtime starts its server inside
//! of it.

#[cfg(feature = "tokio")]
pub(crate) use on::{HandlerRuntime, RuntimeContext};

#[cfg(not(feature = "tokio"))]
pub(crate) use off::{HandlerRuntime, RuntimeContext};

#[cfg(feature = "tokio")]
mod on {
    use std::io;

    use tokio::runtime::{Builder, EnterGuard, Handle, Runtime, RuntimeFlavor};

    /// Threads that drive sockets and timers and run spawned tasks.
    const THREADS: usize = 1;

    /// The runtime of a server, for as long as its shards run.
    #[derive(Debug)]
    pub(crate) struct HandlerRuntime {
        context: RuntimeContext,
        /// The runtime, if the program has none.
        own: Option<Runtime>,
    }

    /// The context that a shard enters.
    #[derive(Debug, Clone)]
    pub(crate) struct RuntimeContext(Handle);

    impl HandlerRuntime {
        /// The multi-thread runtime that the caller is in, or a new one. A current-thread runtime
        /// of the caller is of no use: its thread is the caller's, which waits for the server.
        ///
        /// # Errors
        /// When its thread cannot be started.
        pub(crate) fn start() -> io::Result<HandlerRuntime> {
            let current = Handle::try_current().ok();
            let current = current.filter(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread);
            if let Some(handle) = current {
                let context = RuntimeContext(handle);
                return Ok(HandlerRuntime { context, own: None });
            }
            let own = Builder::new_multi_thread()
                .worker_threads(THREADS)
                .thread_name("handler-io")
                .enable_all()
                .build()?;
            Ok(HandlerRuntime {
                context: RuntimeContext(own.handle().clone()),
                own: Some(own),
            })
        }

        /// The context that shards enter.
        pub(crate) fn context(&self) -> RuntimeContext {
            self.context.clone()
        }
    }

    impl Drop for HandlerRuntime {
        fn drop(&mut self) {
            // Waits for nothing: the caller may be in a context where that panics.
            if let Some(own) = self.own.take() {
                own.shutdown_background();
            }
        }
    }

    impl RuntimeContext {
        /// Keeps the calling thread in the context for as long as the guard lives.
        pub(crate) fn enter(&self) -> EnterGuard<'_> {
            self.0.enter()
        }
    }
}

#[cfg(not(feature = "tokio"))]
mod off {
    use std::io;

    /// No runtime.
    #[derive(Debug)]
    pub(crate) struct HandlerRuntime;

    /// Nothing to enter.
    #[derive(Debug, Clone)]
    pub(crate) struct RuntimeContext;

    /// The guard of a context that there is not.
    pub(crate) struct NotEntered;

    impl HandlerRuntime {
        /// Starts nothing.
        pub(crate) fn start() -> io::Result<HandlerRuntime> {
            Ok(HandlerRuntime)
        }

        /// The context that shards enter.
        pub(crate) fn context(&self) -> RuntimeContext {
            RuntimeContext
        }
    }

    impl RuntimeContext {
        /// Does nothing.
        pub(crate) fn enter(&self) -> NotEntered {
            NotEntered
        }
    }
}
