//! What two machines talk over, where a test can cut it.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Whatever comes here is handed on to another address.
pub struct Link {
    pub address: SocketAddr,
    ends: Arc<Mutex<Vec<TcpStream>>>,
    down: Arc<AtomicBool>,
}

impl Link {
    /// Nobody has to be there yet.
    pub fn to(to: SocketAddr) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let link = Link { address, ends: Arc::default(), down: Arc::default() };
        let (ends, down) = (link.ends.clone(), link.down.clone());
        std::thread::spawn(move || {
            for here in listener.incoming() {
                let Ok(here) = here else { return };
                if down.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(there) = TcpStream::connect(to) else { continue };
                for (from, to) in [(&here, &there), (&there, &here)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                ends.lock().unwrap().extend([here, there]);
            }
        });
        link
    }

    /// Ends all that goes over it.
    pub fn cut(&self) -> usize {
        let ends = std::mem::take(&mut *self.ends.lock().unwrap());
        ends.iter().for_each(|end| drop(end.shutdown(Shutdown::Both)));
        ends.len() / 2
    }

    /// Nothing goes over it any more.
    pub fn down(&self) -> usize {
        self.down.store(true, Ordering::SeqCst);
        self.cut()
    }

    /// It does again.
    pub fn up(&self) {
        self.down.store(false, Ordering::SeqCst);
    }
}
