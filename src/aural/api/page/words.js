// What the page says, in English and Chinese.

const TEXTS = {
  en: {
    skip: "Skip to the captions",
    captions: "Captions",
    insights: "Understanding",
    welcome: "Speak, and read it a moment later.",
    welcomeMore: "Press the button or the space bar. Words in faint italics may still change; the others never do.",
    wordLag: "word",
    finalLag: "final",
    heardLanguage: "language",
    model: "Model",
    language: "Language",
    detect: "Detect",
    playFile: "Play a file",
    clear: "Clear",
    download: "Download",
    start: "Start the microphone",
    stop: "Stop",
    keyWanted: "This server wants a key",
    ok: "OK",
    idle: "Ready",
    starting: "Starting…",
    listening: "Listening",
    speaking: "Hearing speech",
    finishing: "Finishing…",
    reconnecting: "Waiting for the server…",
    again: " Trying again in {s} s.",
    other: "中文",
    errors: {
      NotAllowedError: "The browser did not let this page use the microphone.",
      NotFoundError: "No microphone was found.",
      NotReadableError: "The microphone is in use by another program.",
      insecure: "Browsers give the microphone only to pages from localhost or over https.",
      EncodingError: "The browser cannot decode this file.",
      unreachable: "The server cannot be reached.",
      closed: "The server closed the connection",
      refused: "The server refused",
      full: "The server is full.",
      loading: "The model is still loading.",
      lost: "The connection was lost. What you say in the meantime is kept for three minutes.",
      unheard: "It ended before all was heard; the last words may be missing.",
      unplugged: "The microphone is gone.",
      paused: "The microphone is silenced by the system.",
      slow: "The network is slower than speech; captions will be late.",
      failed: "This sentence could not be heard",
    },
  },
  zh: {
    skip: "跳到字幕",
    captions: "字幕",
    insights: "理解",
    welcome: "开口说话，片刻之后即可读到。",
    welcomeMore: "按下按钮或空格键。浅色斜体的字还可能改变，其余的不再改变。",
    wordLag: "字词",
    finalLag: "定稿",
    heardLanguage: "语言",
    model: "模型",
    language: "语言",
    detect: "自动识别",
    playFile: "播放文件",
    clear: "清空",
    download: "下载",
    start: "打开麦克风",
    stop: "停止",
    keyWanted: "此服务器需要密钥",
    ok: "确定",
    idle: "就绪",
    starting: "正在启动…",
    listening: "正在聆听",
    speaking: "听到说话",
    finishing: "正在收尾…",
    reconnecting: "正在等待服务器…",
    again: "{s} 秒后重试。",
    other: "English",
    errors: {
      NotAllowedError: "浏览器不允许此页面使用麦克风。",
      NotFoundError: "没有找到麦克风。",
      NotReadableError: "麦克风正被其他程序占用。",
      insecure: "浏览器只向 localhost 或 https 页面开放麦克风。",
      EncodingError: "浏览器无法解码此文件。",
      unreachable: "无法连接服务器。",
      closed: "服务器关闭了连接",
      refused: "服务器拒绝了请求",
      full: "服务器已满。",
      loading: "模型仍在加载。",
      lost: "连接已断开。这段时间说的话会保留三分钟。",
      unheard: "未等全部听完就已结束，最后几句可能缺失。",
      unplugged: "麦克风已断开。",
      paused: "系统已暂停麦克风。",
      slow: "网络慢于语速，字幕会延迟。",
      failed: "这一句没能听清",
    },
  },
};

const STORED = "aural.locale";

let locale = localStorage.getItem(STORED) ?? (navigator.language.startsWith("zh") ? "zh" : "en");

export const currentLocale = () => locale;

export function say(name) {
  return TEXTS[locale][name];
}

/** The sentence for an error's name, or the error's own message; and after how many seconds there is another try. */
export function explain({ name, message, detail, seconds }) {
  const { errors } = TEXTS[locale];
  const known = errors[name] ?? errors[message] ?? String(message ?? name);
  return known + (detail ? `: ${detail}` : "") + (seconds ? say("again").replace("{s}", seconds) : "");
}

/** A moment of the page's time. */
export function clock(ms) {
  const total = Math.floor(ms / 1000);
  const parts = [Math.floor(total / 60) % 60, total % 60].map((part) => String(part).padStart(2, "0"));
  return total >= 3600 ? `${Math.floor(total / 3600)}:${parts.join(":")}` : parts.join(":");
}

export function switchLocale() {
  locale = locale === "en" ? "zh" : "en";
  localStorage.setItem(STORED, locale);
  translate();
}

/** Write every text that the document marks with data-say or data-say-label. */
export function translate(root = document) {
  document.documentElement.lang = locale === "zh" ? "zh-Hans" : "en";
  for (const node of root.querySelectorAll("[data-say]")) node.textContent = say(node.dataset.say);
  for (const node of root.querySelectorAll("[data-say-label]")) node.setAttribute("aria-label", say(node.dataset.sayLabel));
}

/** A language's name for people who read the page, from its code. */
export function languageName(code) {
  try {
    return new Intl.DisplayNames([locale], { type: "language" }).of(code) ?? code;
  } catch {
    return code;
  }
}
