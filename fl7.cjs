const t0=performance.now(); const k=require('koffi'); const t1=performance.now(); const l=k.load(null); const t2=performance.now(); const f=l.func('int flock(int fd, int op)'); const t3=performance.now(); f(0,8); const t4=performance.now();
console.log('require',(t1-t0).toFixed(1),'load',(t2-t1).toFixed(1),'func',(t3-t2).toFixed(1),'call',(t4-t3).toFixed(1));
