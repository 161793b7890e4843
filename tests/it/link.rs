//! What two machines talk over, where a test can cut it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Whatever comes here is handed on to another address.
pub struct Link {
    pub address: SocketAddr,
    ends: Arc<Mutex<Vec<TcpStream>>>,
    down: Arc<AtomicBool>,
    swallows: Arc<AtomicBool>,
}

impl Link {
    /// Nobody has to be there yet.
    pub fn to(to: SocketAddr) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let link = Link { address, ends: Arc::default(), down: Arc::default(), swallows: Arc::default() };
        let (ends, down, swallows) = (link.ends.clone(), link.down.clone(), link.swallows.clone());
        std::thread::spawn(move || {
            for here in listener.incoming() {
                let Ok(here) = here else { return };
                if down.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(there) = TcpStream::connect(to) else { continue };
                for (from, to, may_swallow) in [(&here, &there, false), (&there, &here, true)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let swallows = swallows.clone();
                    std::thread::spawn(move || {
                        hand_on(from, to, || may_swallow && swallows.load(Ordering::SeqCst))
                    });
                }
                let mut ends = ends.lock().unwrap();
                if down.load(Ordering::SeqCst) {
                    let _ = (here.shutdown(Shutdown::Both), there.shutdown(Shutdown::Both));
                    continue;
                }
                ends.extend([here, there]);
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

    /// What comes from the other end is taken from it and lost, until this is said otherwise.
    pub fn swallow(&self, swallows: bool) {
        self.swallows.store(swallows, Ordering::SeqCst);
    }

    /// It does again.
    pub fn up(&self) {
        self.down.store(false, Ordering::SeqCst);
    }
}

fn hand_on(mut from: TcpStream, mut to: TcpStream, is_lost: impl Fn() -> bool) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        if !is_lost() && to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
}
